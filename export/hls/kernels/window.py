"""Windows of convolutions and pools: what rows a stage keeps, when words come in, and the cycles that takes."""

from __future__ import annotations

from dataclasses import dataclass

from qfx.ops.base import Pair


@dataclass(frozen=True)
class Window:
    """A kernel and how it moves; each (vertical, horizontal).

    Attributes:
        padding: rows above and below, columns on either side.
        extra: more of them below and to the right.
    """

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    extra: Pair

    @property
    def taps(self) -> int:
        """Kernel positions."""
        return self.kernel[0] * self.kernel[1]

    @property
    def borders(self) -> bool:
        """Whether windows reach beyond the image."""
        return (*self.padding, *self.extra) != (0, 0, 0, 0)

    @property
    def reach(self) -> Pair:
        """Rows and columns from the first kernel position to the last."""
        return (self.kernel[0] - 1) * self.dilation[0], (self.kernel[1] - 1) * self.dilation[1]


@dataclass(frozen=True)
class Ring:
    """The image rows that a sliding window keeps, and when words come in.

    Attributes:
        ahead: words read before the first frame.
        reads: words read while a row of windows goes out, at most.
        lines: rows kept.
    """

    ahead: int
    reads: int
    lines: int


def plan_ring(window: Window, height: int, row_words: int, out_rows: int) -> Ring:
    """Enough words before each row of windows, a frame's worth of words per frame, and as few rows as that takes."""
    first, step = window.reach[0] - window.padding[0], window.stride[0]
    ahead = row_words * min(max(first + 1, 0), height)
    reads = max(-(-height * row_words // out_rows), min(step, height) * row_words)
    lines = 1
    for row in range(out_rows):
        until = min(ahead + reads * (row + 1), ahead + height * row_words)  # words read when this row of windows is out
        oldest = min(max(row * step - window.padding[0], 0), height)
        lines = max(lines, -(-until // row_words) - oldest)
    return Ring(ahead, reads, lines)


@dataclass(frozen=True)
class Turn:
    """What a sliding window does while a row of windows goes out.

    Attributes:
        scan: steps: words sent, or columns of words looked at where whole windows are sent.
        scan_every, read_every: cycles from one step to the next, and from one word read to the next.
        beats: cycles.
    """

    scan: int
    scan_every: int
    read_every: int
    beats: int


@dataclass(frozen=True)
class Span:
    """The columns under the windows of `pixels` neighbouring outputs, and how sliding_window_pixels gets them.

    Attributes:
        word_columns: columns of a word that comes: those by which the windows move on.
        columns: under all windows of a word of results.
        words: that are held of each kernel row.
        skip: columns of these before the first that is wanted.
        fill: words of a row read before its first windows are complete.
    """

    pixels: int
    word_columns: int
    columns: int
    words: int
    skip: int
    fill: int


def plan_span(window: Window, pixels: int) -> Span:
    """Windows whose last column comes with word n begin `fill` words and the padding before that word."""
    step, padding = pixels * window.stride[1], window.padding[1]
    columns = (pixels - 1) * window.stride[1] + window.reach[1] + 1
    fill = max(0, -(-(columns - padding - step) // step))
    words = fill + 1 - (-padding // step)
    return Span(pixels, step, columns, words, (words - fill - 1) * step - padding, fill)


def plan_turn(window: Window, ring: Ring, groups: int, out_width: int, taps: int, pixels: int = 1) -> Turn:
    """Steps and reads, evenly spread.

    Args:
        groups: words of a pixel.
        taps: kernel positions per cycle.
        pixels: output pixels per cycle.
    """
    scan = out_width * (window.taps // taps) * groups
    if pixels > 1:
        scan = out_width // pixels + plan_span(window, pixels).fill
    elif 1 < taps == window.taps:
        scan = ((out_width - 1) * window.stride[1] + window.reach[1] + 1) * groups
    read_every, scan_every = max(1, scan // ring.reads), max(1, ring.reads // scan)
    return Turn(scan, scan_every, read_every, max(scan * scan_every, ring.reads * read_every))
