"""The stages before windowed kernels: they send the words under each window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qfx.export.cost.memory import buffer
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.base import LANES, Header, Touched, counters, every, where
from qfx.export.hls.kernels.op import WindowStage
from qfx.export.hls.kernels.window import Ring, Turn, Window, plan_ring, plan_span, plan_turn
from qfx.export.hls.stage_settings import Settings
from qfx.export.hls.words import Words
from qfx.fixed import IntArray

ROWS = "LINES image rows of memory, "


@dataclass(frozen=True)
class Sight:
    """What a window stage looks at, and for whom.

    Attributes:
        window: kernel and how it moves.
        x: the words that come.
        out: the words of results that are made of the windows.
        taps: kernel positions per cycle.
        apart: groups of channels of which the kernel takes one after the other, each with all taps.
        lowest: outside the image lies the smallest code instead of zero.
    """

    window: Window
    x: Words
    out: Words
    taps: int
    apart: int
    lowest: bool = False

    @property
    def pixels(self) -> int:
        """Output pixels per cycle."""
        return self.out.whole_pixels


def window_stage(sight: Sight) -> WindowStage | None:
    """The stage before a windowed kernel; None if its windows are the words themselves."""
    window, pixels = sight.window, sight.pixels
    if window.taps == 1 and not window.borders and (pixels == 1 or window.stride == (1, 1)):
        return None if window.stride == (1, 1) else PickPixels(sight)
    if pixels > 1:
        return SlidingPixels(sight)
    if sight.taps == 1:
        return SlidingWords(sight)
    return SlidingTaps(sight) if sight.taps == window.taps else SlidingColumns(sight)


def window_width(sight: Sight) -> int:
    """Bits of what a windowed kernel reads."""
    if sight.pixels == 1:
        return sight.x.word_width * sight.taps
    columns = plan_span(sight.window, sight.pixels).columns
    return sight.window.kernel[0] * columns * sight.x.channels * sight.x.type.width


def window_words(sight: Sight) -> int:
    """Windows, or parts of them, per frame."""
    if sight.pixels > 1:
        return sight.out.words
    return sight.out.pixels * (sight.window.taps // sight.taps) * sight.x.groups


class _Stage(WindowStage):
    kind = "window"
    latency = 3

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        self.words = window_words(sight)

    @property
    def width(self) -> int:
        return window_width(self.sight)

    @property
    def function(self) -> str:
        return self.functions[0]


class PickPixels(_Stage):
    """The words of every STRIDE_ROWS-th row and STRIDE_COLUMNS-th column, what a 1x1 kernel with a stride looks at."""

    functions = ("pick_pixels",)
    latency = 2
    takes = "counters"

    @property
    def header(self) -> Header:
        return self.from_template("pick_pixels", "pick_pixels", ())

    def describe(self, settings: Settings) -> None:
        rows, columns = self.sight.window.stride
        settings.constant(columns=self.sight.x.width, stride_rows=rows, stride_columns=columns)

    @property
    def iterations(self) -> int:
        """WORDS of x."""
        return self.sight.x.words

    def touched(self) -> Touched:
        x, (rows, columns) = self.sight.x, self.sight.window.stride
        picked = np.zeros((x.height, x.width, x.groups), np.int64)
        picked[::rows, ::columns] = 1
        return Touched({0: every(self.iterations)}, {0: where(picked)})

    def resources(self) -> Resources:
        x = self.sight.x
        return counters(x.height, x.width, x.groups)


class SlidingWindow(_Stage):
    """A stage that sends the windows of one row after another while it reads the rows ahead."""

    @cached_property
    def ring(self) -> Ring:
        """The rows that it keeps."""
        s = self.sight
        return plan_ring(s.window, s.x.height, s.x.row_words, s.out.height)

    @cached_property
    def turn(self) -> Turn:
        """What it does while a row of windows goes out."""
        s = self.sight
        return plan_turn(s.window, self.ring, s.x.groups, s.out.width, s.taps, s.pixels)

    @property
    def header(self) -> Header:
        endings = {name: f"_{name}" if self.function.endswith(f"_{name}") else "" for name in ("taps", "columns", "pixels")}
        return self.from_template(self.function, "sliding_window", (LANES,), **endings)

    def describe(self, settings: Settings) -> None:
        s, ring, turn = self.sight, self.ring, self.turn
        window, groups = s.window, s.x.groups
        settings.padding = "lowest" if s.lowest else "zero"
        settings.constant(
            kernel_height=window.kernel[0],
            kernel_width=window.kernel[1],
            lines=ring.lines,
            row_words=s.x.row_words,
            ahead=ring.ahead,
            reads=ring.reads,
            read_every=turn.read_every,
            scan=turn.scan,
            scan_every=turn.scan_every,
            beats=turn.beats,
        )
        settings.counter(
            first_row=-window.padding[0],
            first_line=-window.padding[0] % ring.lines,
            first_word=-window.padding[1] * groups,
        )
        settings.constant(
            stride_rows=window.stride[0],
            dilation_rows=window.dilation[0],
            line_step=window.dilation[0] % ring.lines,
            top_step=window.stride[0] % ring.lines,
            frame_step=(s.x.height - (s.out.height - 1) * window.stride[0]) % ring.lines,
            tap_step=window.dilation[1] * groups,
        )

    @property
    def iterations(self) -> int:
        """out::HEIGHT * BEATS."""
        return self.sight.out.height * self.turn.beats

    def sent(self) -> IntArray:
        """The steps of a row that send a word."""
        return every(self.turn.scan)

    def touched(self) -> Touched:
        s, turn, ring = self.sight, self.turn, self.ring
        rows = every(s.out.height)[:, None] * turn.beats
        reads = rows + every(ring.reads, turn.read_every)
        sent = rows + self.sent() * turn.scan_every
        return Touched({0: reads.ravel()[: s.x.words]}, {0: sent.ravel()}, ring.ahead)

    def resources(self) -> Resources:
        """Rows of the image, what chooses among them, and the counters of the reading loops."""
        s = self.sight
        lines = buffer(s.x.word_width, s.x.row_words) * self.ring.lines
        return lines + self.choice() + counters(s.x.height, s.x.row_words)

    def choice(self) -> Resources:
        """Multiplexers that choose one of the lines under each kernel row."""
        return Resources(lut=self.sight.x.word_width * math.ceil((self.ring.lines - 1) / 3)) * self.sight.taps


class SlidingWords(SlidingWindow):
    """The words under each kernel position, in the order in which the kernel reads them."""

    functions = ("sliding_window",)
    takes = f"{ROWS}a choice of one of them per word, counters"

    def describe(self, settings: Settings) -> None:
        super().describe(settings)
        s, groups = self.sight, self.sight.x.groups
        inside = groups // s.apart
        settings.constant(inside=inside, outside=s.apart, pixel_step=s.window.stride[1] * groups - (s.apart - 1) * inside)


class SlidingColumns(SlidingWords):
    """The words under a column of the kernel in one."""

    functions = ("sliding_window_columns",)
    takes = f"{ROWS}a choice of one of them per kernel row, counters"

    def describe(self, settings: Settings) -> None:
        super().describe(settings)
        settings.constant(tap_width=self.sight.x.word_width)


class _InRegisters(SlidingWindow):
    """A stage that keeps the columns of its windows in registers."""

    def choice(self) -> Resources:
        """Registers of all kernel positions."""
        s = self.sight
        if s.pixels == 1:
            return Resources(ff=s.taps * s.x.word_width)
        columns = (s.pixels - 1) * s.window.stride[1] + s.window.kernel[1]
        return Resources(ff=s.window.kernel[0] * columns * s.x.channels * s.x.type.width)


class SlidingTaps(_InRegisters):
    """The whole window of each pixel in one word, all kernel positions of a channel group at once."""

    functions = ("sliding_window_taps",)
    takes = f"{ROWS}a register per kernel position, counters"

    def describe(self, settings: Settings) -> None:
        super().describe(settings)
        s = self.sight
        reach = s.window.reach[1]
        settings.constant(
            tap_width=s.x.word_width, delay=max(1, reach * s.x.groups), fill_columns=reach, stride_columns=s.window.stride[1]
        )

    def sent(self) -> IntArray:
        """Those at which the last column of a window has come."""
        s = self.sight
        columns = every(self.turn.scan // s.x.groups) - s.window.reach[1]
        complete = (columns >= 0) & (columns % s.window.stride[1] == 0)
        return where(np.repeat(complete, s.x.groups))


class SlidingPixels(_InRegisters):
    """The columns under the windows of RUN neighbouring output pixels in one word, with all channels, each column once."""

    functions = ("sliding_window_pixels",)
    takes = f"{ROWS}words in registers per kernel row, counters"

    def describe(self, settings: Settings) -> None:
        super().describe(settings)
        s, pixel = self.sight, self.sight.x.channels * self.sight.x.type.width
        span = plan_span(s.window, s.pixels)
        settings.code("held_row", False, span.words * s.x.word_width)
        settings.code("window_row", False, span.columns * pixel)
        newest = (span.words - 1) * s.x.word_width
        settings.constant(fill_words=span.fill, newest_low=newest, skip_bits=span.skip * pixel)

    def sent(self) -> IntArray:
        """All but those that fill the registers."""
        fill = plan_span(self.sight.window, self.sight.pixels).fill
        return every(self.turn.scan - fill, 1, fill)
