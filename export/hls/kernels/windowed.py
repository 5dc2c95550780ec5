"""Kernels that look at windows of an image."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TypeVar

from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import MAX_WORD_BITS, Fold, divisors
from qfx.export.hls.kernels.base import Touched, counters, every
from qfx.export.hls.kernels.op import OpKernel, WindowStage, same_lanes
from qfx.export.hls.kernels.sliding_window import Sight, window_stage, window_width
from qfx.export.hls.kernels.window import Window, plan_span
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings
from qfx.export.hls.words import Words
from qfx.ops.base import Op

T = TypeVar("T", bound=Op)


class Windowed(OpKernel[T]):
    """A word of the result for so many words of each window; or several pixels with all their channels for one."""

    @classmethod
    @abstractmethod
    def window_of(cls, operation: Operation[T]) -> Window:
        """The kernel and how it moves."""

    @cached_property
    def sight(self) -> Sight:
        """What its window's stage looks at."""
        return Sight(self.window_of(self.operation), self.x, self.out, self.fold.taps, self.windows_apart, self.pads_lowest)

    @property
    def windows_apart(self) -> int:
        """Groups of channels that it takes one after the other, each with all kernel positions: here every word."""
        return self.x.groups

    @property
    def pads_lowest(self) -> bool:
        """Whether the smallest code lies outside the image instead of zero."""
        return False

    @property
    def window(self) -> WindowStage | None:
        return self._window

    @cached_property
    def _window(self) -> WindowStage | None:
        return window_stage(self.sight)

    @property
    def at_once(self) -> bool:
        """Whether it makes several pixels a cycle."""
        return self.out.whole_pixels > 1

    @property
    def pixels_ending(self) -> str:
        """Of the name of the function."""
        return "_pixels" if self.at_once else ""

    @property
    def tap_words(self) -> int:
        """Words of a window, each with as many kernel positions as the fold says."""
        return self.sight.window.taps // self.fold.taps

    @property
    def terms(self) -> int:
        return self.fold.taps

    def describe_window(self, settings: Settings) -> None:
        """Add the type of a window, and what its stage wants to know."""
        settings.code("window", False, window_width(self.sight))
        if self.window is not None:
            self.window.describe(settings)
        if not self.at_once:
            return
        window, pixel = self.sight.window, self.x.channels * self.x.type.width
        if self.window is None:
            settings.constant(kernel_height=window.kernel[0], kernel_width=window.kernel[1])
        settings.constant(
            run=self.out.whole_pixels,
            row_bits=plan_span(window, self.out.whole_pixels).columns * pixel,
            pixel_bits=window.stride[1] * pixel,
            column_bits=window.dilation[1] * pixel,
        )

    def describe_taps(self, settings: Settings) -> None:
        """Add how many words a window has, and kernel positions a word; or those of each of several windows at once."""
        if not self.at_once:
            settings.constant(tap_words=self.tap_words)
        settings.constant(word_taps=self.fold.taps)

    @property
    def iterations(self) -> int:
        """WORDS of the result * TAP_WORDS; WORDS where several pixels are made at once."""
        return self.out.words * (1 if self.at_once else self.tap_words)

    def touched(self) -> Touched:
        turns = self.iterations // self.out.words
        return Touched({0: every(self.iterations)}, {0: every(self.out.words, turns, turns - 1)})

    def counters(self, sum_words: int = 1) -> Resources:
        """Of the loops.

        Args:
            sum_words: words under a kernel position that a result sums over.
        """
        return counters(self.out.height, self.out.width, self.out.groups, self.tap_words, sum_words)

    @classmethod
    def tap_choices(cls, operation: Operation[T]) -> list[int]:
        """Kernel positions per cycle."""
        window = cls.window_of(operation)
        return sorted({1, window.kernel[0], window.taps})

    @classmethod
    def shapes(cls, operation: Operation[T]) -> Iterable[Fold]:
        return same_lanes(operation, cls.tap_choices(operation))

    @classmethod
    def several_pixels(cls, operation: Operation[T]) -> bool:
        """Whether there is a kernel that makes several pixels a cycle."""
        return True

    @classmethod
    def pixel_shapes(cls, operation: Operation[T]) -> Iterator[Fold]:
        out, window = Words(operation.out, 1), cls.window_of(operation)
        if not cls.several_pixels(operation):
            return
        for pixels in divisors(out.width)[1:]:
            if pixels * out.channels * out.type.width > MAX_WORD_BITS:
                return
            fold = _at_once(window, Words(operation.x, 1), pixels, out.channels)
            if fold is not None:
                yield fold


def _at_once(window: Window, x: Words, pixels: int, channels: int) -> Fold | None:
    """All kernel positions and channels for several pixels; None where words of x do not fit rows or the tools' limit."""
    span, pixel = plan_span(window, pixels), x.channels * x.type.width
    most = max(window.kernel[0] * span.columns, span.words * span.word_columns) * pixel
    if x.width % span.word_columns or most > MAX_WORD_BITS:
        return None
    return Fold((span.word_columns * x.channels,), pixels * channels, math.prod(window.kernel))
