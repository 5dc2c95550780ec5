"""The sizes of datapaths that the cost model is fitted to, and those that are held out: never seen by the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qfx.export.cost import (
    Accumulate,
    Add,
    AdderTree,
    Clamp,
    Control,
    Converter,
    Datapath,
    Fifo,
    LineBuffer,
    MacArray,
    Maximum,
    Multiply,
    MultiplyKhot,
    Packing,
    Popcount,
    PReLU,
    ReLU,
    Requantize,
    Rom,
    best_packing,
)
from qfx.fixed import FixedType

NARROW = "-nowidelut -nodsp"
"""No multiplexers beyond the LUT, which inflate the count, and no DSP."""
BLOCKS = "-nowidelut"
"""With DSPs."""
WIDE = "-nodsp"
"""With them: a table is read through them on the device, too."""


@dataclass(frozen=True)
class Group:
    """Datapaths of one kind; what is the sum of other kinds needs no fit.

    Attributes:
        flags: for synth_xilinx.
    """

    fitted: Sequence[Datapath]
    held_out: Sequence[Datapath]
    flags: str = NARROW

    @property
    def kind(self) -> str:
        return self.held_out[0].kind


def _casts(sizes: Sequence[tuple[int, int, int]], modes: Sequence[tuple[str, str]]) -> list[Datapath]:
    return [Requantize(*size, f"AP_{rounding}", f"AP_{overflow}") for size in sizes for rounding, overflow in modes]


def _packing(x_width: int, x_signed: bool, least: int, most: int) -> Packing:
    x = FixedType(x_signed, x_width, 0)
    found = best_packing(x, (x.min_int, x.max_int), (least, most))
    assert found is not None
    return found


MODES = [
    ("TRN", "WRAP"),
    ("TRN", "SAT"),
    ("RND", "WRAP"),
    ("RND", "SAT"),
    ("RND", "SAT_SYM"),
    ("RND_CONV", "WRAP"),
    ("RND_CONV", "SAT"),
]
UNSIGNED = [
    Requantize(*size, target_signed=False)
    for size in ((14, 4, 4), (16, 6, 8), (20, 8, 8), (24, 9, 6), (15, 5, 8), (18, 7, 4), (22, 6, 8))
]

GROUPS = [
    Group(
        [Multiply(x, w) for x in (2, 3, 4, 6, 8) for w in (2, 4, 6, 8)]
        + [Multiply(5, 5), Multiply(7, 7), Multiply(12, 8), Multiply(12, 12), Multiply(16, 8)]
        + [Multiply(4, 4, False), Multiply(8, 8, False)],
        [Multiply(x, w) for x, w in ((5, 4), (7, 3), (3, 5), (5, 7), (6, 5), (8, 7), (9, 8), (11, 6), (14, 8), (9, 9), (18, 8))]
        + [Multiply(7, 6, False), Multiply(6, 8, False), Multiply(10, 4, False)],
    ),
    Group(
        [MultiplyKhot(x, k, s) for x in (4, 8) for k in (1, 2, 3) for s in (2, 3)],
        [MultiplyKhot(x, k, s) for x in (6, 10) for k in (1, 2) for s in (2, 3)] + [MultiplyKhot(16, 1, 3), MultiplyKhot(6, 3, 3)],
    ),
    Group(
        [AdderTree(n, w) for n in (2, 4, 8, 16) for w in (4, 8, 16)] + [AdderTree(9, 8)],
        [
            AdderTree(3, 8),
            AdderTree(6, 12),
            AdderTree(8, 12),
            AdderTree(18, 8),
            AdderTree(32, 12),
            AdderTree(36, 8),
            AdderTree(64, 8),
        ],
    ),
    Group(
        [Accumulate(w, x) for w, x in ((12, 8), (16, 12), (20, 16), (24, 20), (32, 20))],
        [Accumulate(w, x) for w, x in ((14, 9), (18, 16), (22, 18), (26, 22), (28, 12))],
    ),
    Group(
        [Add(8, 8), Add(8, 8, 2), Add(12, 8), Add(16, 16), Add(20, 8, 3), Add(24, 12)],
        [Add(9, 9), Add(9, 9, 1), Add(10, 14), Add(20, 16, 2), Add(28, 12, 4)],
    ),
    Group(
        _casts([(12, 4, 4), (16, 6, 8), (20, 6, 8), (24, 10, 4)], MODES) + UNSIGNED[:4],
        _casts([(13, 5, 5), (17, 7, 8), (23, 9, 8), (30, 14, 6)], MODES)
        + UNSIGNED[4:]
        + _casts([(20, 8, 8)], [("RND_ZERO", "SAT"), ("RND_INF", "SAT"), ("TRN_ZERO", "SAT")]),
    ),
    Group([ReLU(w) for w in (6, 16)], [ReLU(w) for w in (5, 12, 20)]),
    Group(
        [
            Clamp(8, 0, 96),
            Clamp(12, 0, 1536),
            Clamp(18, 0, 50000),
            Clamp(20, -300, 5000),
            Clamp(16, -1000, 1000),
            Clamp(10, -5, 80),
        ],
        [Clamp(10, 0, 384), Clamp(14, 0, 3072), Clamp(20, 0, 90000), Clamp(14, -700, 900), Clamp(18, -2048, 2047)],
    ),
    Group([Maximum(w) for w in (4, 5, 6, 8, 12, 16)], [Maximum(w) for w in (7, 9, 10, 14)]),
    Group(
        [PReLU(w, s, 6) for w in (4, 6, 8, 12) for s in (4, 6, 8)] + [PReLU(8, 8, 12)],
        [PReLU(5, 5, 4), PReLU(7, 6, 5), PReLU(9, 8, 7), PReLU(10, 4, 3), PReLU(9, 6, 9)],
    ),
    Group([Popcount(n) for n in (36, 64, 144, 256)], [Popcount(n) for n in (72, 128, 192, 288, 576)]),
    Group(
        [Rom(w, d) for w in (16, 48) for d in (32, 64, 128, 256)],
        [Rom(32, 48), Rom(32, 64), Rom(24, 128), Rom(32, 256), Rom(40, 160)],
        WIDE,
    ),
    Group(
        [LineBuffer(w, d) for w in (8, 32, 64) for d in (32, 64, 128)],
        [LineBuffer(w, d) for w in (16, 48, 96) for d in (24, 56, 112)],
    ),
    Group(
        [Fifo(w, d) for w in (8, 32) for d in (8, 16, 32, 64, 128)],
        [Fifo(w, d) for w in (16, 64) for d in (4, 12, 24, 48, 96)],
    ),
    Group(
        [Converter(i, o) for i, o in ((8, 32), (32, 8), (16, 128), (128, 16), (32, 64), (64, 32))],
        [Converter(i, o) for i, o in ((16, 32), (24, 72), (72, 24), (8, 64), (64, 8), (96, 32), (32, 256), (144, 16))],
    ),
    Group(
        [Control(b) for b in ((64,), (16, 9), (32, 32, 4), (30, 30, 9, 4), (8, 8, 4, 16, 9), (16, 16, 8, 9))],
        [Control(b) for b in ((200,), (24, 18), (28, 14, 5), (12, 16, 9, 8), (7, 14, 3, 8, 10), (32, 32, 16, 9))],
    ),
    Group(
        [_packing(8, True, -128, 127), _packing(8, False, -128, 127), _packing(4, True, -8, 7)],
        [_packing(8, True, -127, 127), _packing(4, False, -8, 7), _packing(6, True, -32, 31), _packing(8, True, -8, 7)],
        BLOCKS,
    ),
    Group(
        [],
        [
            *(MacArray(2, 4, 4, 4, 16, 6, 4), MacArray(2, 8, 8, 8, 22, 8, 8), MacArray(4, 9, 6, 4, 18, 6, 6)),
            *(MacArray(2, 16, 6, 6, 20, 7, 6), MacArray(4, 3, 8, 4, 18, 5, 8), MacArray(1, 18, 8, 6, 24, 9, 8)),
        ],
    ),
]
