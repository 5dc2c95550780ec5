"""The rows that a window stage keeps: enough, and none too many, by brute force over small windows."""

from __future__ import annotations

import itertools

import pytest

from qfx.export.hls.kernels.window import Ring, Window, plan_ring

FRAMES = 3
HEIGHTS = range(1, 10)
PAIRS = [(kernel, stride, padding) for kernel in range(1, 5) for stride in range(1, 4) for padding in range(kernel)]


def rows_read(window: Window, height: int, row: int) -> list[int]:
    """Image rows under the window of output row `row`, inside the image."""
    first = row * window.stride[0] - window.padding[0]
    return [at for at in range(first, first + window.reach[0] + 1, window.dilation[0]) if 0 <= at < height]


def last_readers(window: Window, height: int, out_rows: int) -> dict[int, int]:
    """Image row, counted over all frames -> the last row of windows that reads it."""
    last: dict[int, int] = {}
    for frame, row in itertools.product(range(FRAMES), range(out_rows)):
        for at in rows_read(window, height, row):
            last[frame * height + at] = frame * out_rows + row
    return last


def words_before(ring: Ring, words: int, out_rows: int, turn: int) -> int:
    """Words that are in when row of windows `turn` of all frames begins: `ahead`, `reads` per row, a frame's per frame."""
    frame, row = divmod(turn, out_rows)
    return ring.ahead + frame * words + min(ring.reads * row, words)


def overwrites(window: Window, ring: Ring, lines: int, height: int, row_words: int, out_rows: int) -> bool:
    """Whether a ring of so many lines loses a row before the last window that reads it has gone out.

    A word that comes during a row of windows may come before the row's last window.
    """
    last, words = last_readers(window, height, out_rows), height * row_words
    for turn in range((FRAMES - 1) * out_rows):
        newest = (words_before(ring, words, out_rows, turn + 1) - 1) // row_words  # the row that is written last in this turn
        if any(reader >= turn for row, reader in last.items() if row <= newest - lines):
            return True
    return False


def complete(window: Window, ring: Ring, height: int, row_words: int, out_rows: int) -> bool:
    """Whether the rows under every row of windows are in when it begins."""
    words = height * row_words
    return all(
        words_before(ring, words, out_rows, frame * out_rows + row) >= (frame * height + at + 1) * row_words
        for frame, row in itertools.product(range(FRAMES), range(out_rows))
        for at in rows_read(window, height, row)
    )


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("row_words", [1, 2, 3, 8])
def test_as_few_rows_as_it_takes(row_words: int, dilation: int) -> None:
    tried = 0
    for (kernel, stride, padding), height in itertools.product(PAIRS, HEIGHTS):
        window = Window((kernel, 1), (stride, 1), (padding, 0), (dilation, 1), (0, 0))
        out_rows = (height + 2 * padding - window.reach[0] - 1) // stride + 1
        if out_rows < 1:
            continue
        ring = plan_ring(window, height, row_words, out_rows)
        case = (window, height, ring)
        assert complete(window, ring, height, row_words, out_rows), case
        assert not overwrites(window, ring, ring.lines, height, row_words, out_rows), case
        if dilation == 1 and ring.lines > 1:
            assert overwrites(window, ring, ring.lines - 1, height, row_words, out_rows), case
            tried += 1
    assert dilation > 1 or tried > 200
