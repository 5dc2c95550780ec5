"""Kernels at their corners, against the integer engine; the ops' own samples run in the conformance suite."""

from __future__ import annotations

from pathlib import Path

from qfx.fixed import FixedType, Overflow, Rounding
from qfx.ir import Value
from qfx.ops import Affine, AvgPool2d, Conv2d, Linear, MaxPool2d, Requantize, Reshape
from qfx.ops.sampling import constant, khot_constant
from tests.hls.build import S6, U4, averaged, chain, check_graphs, image

S4 = FixedType(True, 4, 3)


def weight(*shape: int) -> Value:
    return constant("weight", S4, shape, 3)


def test_windows(tmp_path: Path) -> None:
    """Padding beyond the kernel, gaps between windows, one-row images, more than one word a pixel, unread last rows."""
    check_graphs(
        [
            chain("far_padding", image(U4, 2, 3, 4), (Conv2d(padding=(2, 3)), [weight(3, 2, 1, 1)])),
            chain("gaps", image(S6, 16, 9, 8), (Conv2d(stride=(4, 3), padding=(1, 0)), [weight(9, 16, 2, 1)])),
            chain("dilated", image(U4, 12, 8, 7), (Conv2d(dilation=(3, 2), padding=(3, 1)), [weight(8, 12, 3, 2)])),
            chain("deep", image(S6, 16, 6, 5), (Conv2d((2, 1), (1, 2), (1, 2), groups=16), [weight(16, 1, 3, 3)])),
            chain("row", image(U4, 1, 1, 9), (Conv2d(padding=(0, 1)), [weight(7, 1, 1, 3)]), (Reshape((63,)), [])),
            chain("pools", image(S6, 12, 7, 9), (MaxPool2d((3, 2), (2, 3), (1, 1)), []), (AvgPool2d((2, 2), (1, 1)), [])),
            chain("multiplier", image(S6, 2, 5, 4), (Conv2d(groups=2), [weight(6, 1, 3, 2)])),
        ],
        tmp_path,
    )


def test_widths(tmp_path: Path) -> None:
    """1-bit codes, words beyond 64 bits, table entries of one constant, 60-bit accumulators."""
    wide = FixedType(True, 30, 20)
    entries = constant("weight", FixedType(True, 24, 30), (3, 16), 5)
    bit = constant("w", FixedType(False, 1, 0), (8, 8, 2, 2), 1)
    hot = khot_constant("w", FixedType(True, 20, 4), (4, 8, 2, 2), 6, 4)
    check_graphs(
        [
            chain("bits", image(FixedType(True, 1, 0), 8, 4, 4), (Conv2d(), [bit])),
            chain("wide", image(wide, 16), (Linear(), [entries]), (Requantize(FixedType(True, 40, 10)), [])),
            chain("hot", image(wide, 8, 3, 3), (Conv2d(digits=4), [hot])),
            chain("zero", image(U4, 5), (Affine(digits=1), [khot_constant("s", S4, (5,), 7, 0), constant("o", S6, (5,), 8)])),
            averaged(FixedType(False, 40, 42)),
        ],
        tmp_path,
    )


def test_requantize_far_below_the_grid(tmp_path: Path) -> None:
    """The open headers assert where all bits of a signed source fall away; the exporter widens it. No -DNDEBUG here."""
    targets = (FixedType(True, 3, -12), FixedType(False, 4, -40), FixedType(True, 1, -7))
    check_graphs(
        [
            chain(f"far{i}", image(FixedType(i != 1, 6, 3), 4, 2, 2), (Requantize(target, Rounding.RND_CONV, Overflow.SAT), []))
            for i, target in enumerate(targets)
        ],
        tmp_path,
    )
