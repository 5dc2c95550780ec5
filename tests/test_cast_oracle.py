"""qfx.fixed.cast against others: ap_fixed itself, compiled with the real headers; SystemC; apytypes.

The grid: every code of a 10-bit source with 4 integer bits, signed, unsigned, and signed as a double, cast to every width 1..8
with -2..6 integer bits, both signs, all modes: 13,608 configurations.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, cast

import apytypes
import numpy as np
import pytest

from qfx.fixed import FixedType, IntArray, Overflow, Rounding
from tests.cast_oracles import Case, ap_fixed_codes, compile_casts, compile_systemc, run_casts, systemc_codes

SIGNED, UNSIGNED = FixedType(True, 10, 6), FixedType(False, 10, 6)
SOURCES = ((SIGNED, False), (UNSIGNED, False), (SIGNED, True))
"""Format, whether it comes as a double."""
MODES = tuple(mode for mode in product((True, False), Rounding, Overflow) if mode[0] or mode[2] is not Overflow.WRAP_SM)
"""Sign of the target, rounding, overflow: all but those that the headers refuse."""
BELOW = Case(SIGNED, FixedType(True, 1, -5), Rounding.RND, Overflow.WRAP)
"""All bits of a signed source lie below the new grid."""


@pytest.fixture(scope="module")
def systemc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_systemc(tmp_path_factory.mktemp("systemc"))


def grid(signed: bool, rounding: Rounding, overflow: Overflow) -> list[Case]:
    """The 216 configurations of the grid in these modes."""
    targets = [FixedType(signed, width, width - integer) for width in range(1, 9) for integer in range(-2, 7)]
    return [Case(source, target, rounding, overflow, real) for (source, real), target in product(SOURCES, targets)]


def wide(count: int, seed: int) -> Iterator[Case]:
    """Random formats up to 63 bits, any binary point, the sources widened as an exported cast widens them."""
    choice = random.Random(seed)
    for _ in range(count):
        signed, rounding, overflow = choice.choice(MODES)
        source = FixedType(choice.random() < 0.5, choice.randint(11, 63), choice.randint(-70, 70))
        near = source.frac + choice.randint(-80, 20)
        yield Case(source, FixedType(signed, choice.randint(1, 63), near), rounding, overflow, widened=True)


def disagreements(cases: Sequence[Case], found: Sequence[IntArray]) -> list[int]:
    return [int((codes != case.expected).sum()) for case, codes in zip(cases, found, strict=True)]


def compare(cases: Sequence[Case], folder: Path) -> None:
    found = ap_fixed_codes(cases, folder)
    wrong = [case for case, count in zip(cases, disagreements(cases, found), strict=True) if count]
    assert not wrong, wrong[0]


def test_the_grid_has_all_configurations() -> None:
    assert sum(len(grid(*modes)) for modes in MODES) == 13608


def test_a_sample_of_the_grid_agrees_with_ap_fixed(tmp_path: Path) -> None:
    """Two configurations of each pair of modes."""
    choice = random.Random(1)
    compare([BELOW, *(case for modes in MODES for case in choice.sample(grid(*modes), 2))], tmp_path)


def test_wide_formats_agree_with_ap_fixed(tmp_path: Path) -> None:
    compare(list(wide(20, 1)), tmp_path)


@pytest.mark.full
@pytest.mark.parametrize(
    "modes", MODES, ids=lambda modes: f"{'signed' if modes[0] else 'unsigned'}-{modes[1].name}-{modes[2].name}"
)
def test_the_whole_grid_agrees_with_ap_fixed(modes: tuple[bool, Rounding, Overflow], tmp_path: Path) -> None:
    compare(grid(*modes), tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 8))
def test_more_wide_formats_agree_with_ap_fixed(seed: int, tmp_path: Path) -> None:
    compare(list(wide(200, seed)), tmp_path)


def test_the_headers_abort_where_the_table_says(tmp_path: Path) -> None:
    """D4: all bits of a signed source below the new grid; D5: an unsigned format that wraps by sign and magnitude."""
    assert run_casts(compile_casts([BELOW], tmp_path, flags=()), [BELOW]).returncode != 0
    unsigned = Case(SIGNED, FixedType(False, 4, 2), Rounding.TRN, Overflow.WRAP_SM)
    result = run_casts(compile_casts([unsigned], tmp_path), [unsigned])
    assert result.returncode == 1 and b"cannot support AP_WRAP_SM" in result.stderr


def test_systemc_differs_exactly_where_the_table_says(systemc: Path) -> None:
    """The whole grid: D1 in 45,158 of 13,934,592 places, D2 in 42,398, and nowhere else."""
    found, points = Counter[str](), 0
    for signed, rounding, overflow in MODES:
        cases = grid(signed, rounding, overflow)
        points += sum(case.count for case in cases)
        for case, count in zip(cases, disagreements(cases, systemc_codes(systemc, cases)), strict=True):
            if overflow is Overflow.SAT_SYM and signed and case.target.width == 1:
                found["D1"] += count
            elif overflow is Overflow.WRAP_SM and rounding is not Rounding.TRN:
                found["D2"] += count
            else:
                assert count == 0, case
    assert (points, found) == (13_934_592, Counter(D1=45_158, D2=42_398))


@pytest.mark.parametrize(
    ("code", "target", "overflow", "headers", "other"),
    [
        (-512, FixedType(True, 1, 3), Overflow.SAT_SYM, -1, 0),
        (508, FixedType(True, 6, 3), Overflow.WRAP_SM, 0, -1),
        (254, FixedType(True, 6, 4), Overflow.WRAP_SM, 0, -1),
    ],
)
def test_examples_of_d1_and_d2(code: int, target: FixedType, overflow: Overflow, headers: int, other: int, systemc: Path) -> None:
    case = Case(SIGNED, target, Rounding.RND, overflow)
    index = case.codes.tolist().index(code)
    assert (case.expected[index], systemc_codes(systemc, [case])[0][index]) == (headers, other)


def test_apytypes_agrees() -> None:
    """All roundings with saturation and wrapping, on the grid: one source as the other, for a cast does not know doubles."""
    names = apytypes.QuantizationMode
    roundings = {
        Rounding.TRN: names.TO_NEG,
        Rounding.TRN_ZERO: names.TO_ZERO,
        Rounding.RND: names.TIES_POS,
        Rounding.RND_ZERO: names.TIES_ZERO,
        Rounding.RND_INF: names.TIES_AWAY,
        Rounding.RND_MIN_INF: names.TIES_NEG,
        Rounding.RND_CONV: names.TIES_EVEN,
    }
    overflows = {Overflow.SAT: apytypes.OverflowMode.SAT, Overflow.WRAP: apytypes.OverflowMode.WRAP}
    for rounding, overflow in product(roundings, overflows):
        for case in grid(True, rounding, overflow):
            bits = [code & 0x7FF for code in case.codes.tolist()]  # apytypes' numbers are signed: a bit more for unsigned sources
            numbers = apytypes.APyFixedArray(bits, frac_bits=6, bits=11)
            target = case.target
            result = numbers.cast(target.integer, target.frac, quantization=roundings[rounding], overflow=overflows[overflow])
            found = np.array(cast(Any, result.to_bits()), np.int64)
            signed = np.where(found > target.max_int, found - (1 << target.width), found)
            assert np.array_equal(signed, case.expected), case
