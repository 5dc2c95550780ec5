"""Where words are kept: LUTs or block RAM, whichever costs less."""

from __future__ import annotations

import math
from typing import Literal

from qfx.export.cost.resources import Resources
from qfx.export.cost.storage import Fifo, LineBuffer, Rom

Storage = Literal["auto", "lut", "bram"]

BLOCK_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
"""Bits and words of a block RAM of 18 Kbit with one port to write and one to read."""
ROM_DEPTH = 128
"""Words of a table that `auto` puts into LUTs at most: two LUTs a bit."""
LUTS_PER_BLOCK = 163
"""Exchange rate of `auto` elsewhere: LUTs of the Ultra96's device per block RAM of it."""


def block_rams(width: int, depth: int) -> int:
    """Block RAMs of 18 Kbit for `depth` words of `width` bits, in the shape that takes fewest."""
    return min(math.ceil(width / bits) * math.ceil(depth / words) for bits, words in BLOCK_SHAPES)


def table(width: int, depth: int, storage: Storage = "auto") -> Resources:
    """Constants, `width` bits read a cycle. One word is wiring."""
    if depth <= 1:
        return Resources()
    if storage == "lut" or (storage == "auto" and depth <= ROM_DEPTH):
        return Rom(width, depth).resources()
    return Resources(bram18=block_rams(width, depth))


def buffer(width: int, depth: int, storage: Storage = "auto") -> Resources:
    """Words that are written and read, one a cycle each: a line of an image, kept words."""
    if width == 0 or depth == 0:
        return Resources()
    if depth == 1:
        return Resources(ff=width)
    in_luts = LineBuffer(width, depth).resources()
    return _choose(in_luts, Resources(bram18=block_rams(width, depth)), storage)


def fifo(width: int, depth: int, storage: Storage = "auto") -> Resources:
    """A FIFO of `depth` words, at least two."""
    in_luts = Fifo(width, max(2, depth)).resources()
    counters = Fifo(0, max(2, depth)).resources()
    return _choose(in_luts, Resources(bram18=block_rams(width, depth)) + counters, storage)


def _choose(in_luts: Resources, in_blocks: Resources, storage: Storage) -> Resources:
    if storage == "auto":
        return in_luts if in_luts.lut - in_blocks.lut <= LUTS_PER_BLOCK * in_blocks.bram18 else in_blocks
    return in_luts if storage == "lut" else in_blocks
