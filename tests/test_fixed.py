"""qfx.fixed against exact rational arithmetic and UG1399's published examples."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfx.errors import FormatError
from qfx.fixed import MAX_FRAC, MAX_WIDTH, FixedType, Overflow, Rounding, cast

MODES = st.tuples(st.booleans(), st.sampled_from(Overflow)).filter(lambda pair: pair[0] or pair[1] is not Overflow.WRAP_SM)
"""Sign of the target, overflow mode: all but the pair that is refused."""


def rounded(x: Fraction, mode: Rounding) -> int:
    """Each mode from its defining sentence."""
    if mode is Rounding.TRN:
        return math.floor(x)
    if mode is Rounding.TRN_ZERO:
        return math.trunc(x)
    if mode is Rounding.RND_CONV:
        return round(x)
    low = math.floor(x)
    if x - low != Fraction(1, 2):
        return low + (x - low > Fraction(1, 2))
    towards = {Rounding.RND: low + 1, Rounding.RND_MIN_INF: low}
    away, zero = (low + 1, low) if x > 0 else (low, low + 1)
    return (towards | {Rounding.RND_INF: away, Rounding.RND_ZERO: zero})[mode]


def limited(code: int, value: Fraction, target: FixedType, mode: Overflow) -> int:
    """`code` is `value` rounded."""
    wrapped = (code - target.min_int) % (1 << target.width) + target.min_int
    if mode is Overflow.WRAP:
        return wrapped
    if mode is Overflow.WRAP_SM:
        lost = math.floor(value / (1 << target.width)) % 2
        return wrapped if wrapped == code or lost == (wrapped < 0) else -1 - wrapped
    low = target.min_int
    if mode is Overflow.SAT_SYM and target.signed and target.width > 1:
        low = -target.max_int
    if low <= code <= target.max_int:
        return code
    return 0 if mode is Overflow.SAT_ZERO else min(max(code, low), target.max_int)


def reference(code: int, source: FixedType, target: FixedType, rounding: Rounding, overflow: Overflow) -> int:
    value = Fraction(code) * Fraction(2) ** (target.frac - source.frac)
    return limited(rounded(value, rounding), value, target, overflow)


def fixed_types(most_width: int = MAX_WIDTH, most_frac: int = 70) -> st.SearchStrategy[FixedType]:
    return st.builds(FixedType, st.booleans(), st.integers(1, most_width), st.integers(-most_frac, most_frac))


@st.composite
def targets(draw: st.DrawFn, most_width: int = MAX_WIDTH, most_frac: int = 70) -> tuple[FixedType, Overflow]:
    """A format and an overflow mode that it takes."""
    signed, overflow = draw(MODES)
    return FixedType(signed, draw(st.integers(1, most_width)), draw(st.integers(-most_frac, most_frac))), overflow


@settings(max_examples=400)
@given(data=st.data(), source=fixed_types(), pair=targets(), rounding=st.sampled_from(Rounding))
def test_cast_is_the_exact_rational_result(
    data: st.DataObject, source: FixedType, pair: tuple[FixedType, Overflow], rounding: Rounding
) -> None:
    """Widths up to 63, any binary point."""
    target, overflow = pair
    corners = [source.min_int, source.max_int, 0, max(source.min_int, -1), 1]
    codes = data.draw(st.lists(st.integers(source.min_int, source.max_int), max_size=8)) + corners
    result = cast(np.array(codes, np.int64), source, target, rounding, overflow)
    assert result.tolist() == [reference(code, source, target, rounding, overflow) for code in codes]


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("overflow", list(Overflow))
def test_cast_of_every_code_of_a_small_type(rounding: Rounding, overflow: Overflow) -> None:
    signs = (True,) if overflow is Overflow.WRAP_SM else (True, False)
    for signed in (True, False):
        source = FixedType(signed, 6, 3)
        codes = np.arange(source.min_int, source.max_int + 1, dtype=np.int64)
        for target in (FixedType(s, w, f) for s in signs for w in (1, 2, 3, 5) for f in (-2, 0, 2, 3, 5, 9)):
            expected = [reference(int(c), source, target, rounding, overflow) for c in codes]
            assert cast(codes, source, target, rounding, overflow).tolist() == expected, (source, target)


@pytest.mark.parametrize(
    ("rounding", "positive", "negative"),
    [
        (Rounding.RND, 1.5, -1.0),
        (Rounding.RND_ZERO, 1.0, -1.0),
        (Rounding.RND_MIN_INF, 1.0, -1.5),
        (Rounding.RND_INF, 1.5, -1.5),
    ],
)
def test_ug1399_examples(rounding: Rounding, positive: float, negative: float) -> None:
    """UG1399, quantization modes: 1.25 and -1.25 into ap_fixed<3, 2, mode, AP_SAT>."""
    source, target = FixedType(True, 4, 2), FixedType(True, 3, 1)
    result = cast(np.array([5, -5]), source, target, rounding, Overflow.SAT)
    assert target.to_real(result).tolist() == [positive, negative]


@pytest.mark.parametrize(
    ("overflow", "signed", "value", "result"),
    [
        (Overflow.SAT, True, 19, 7),
        (Overflow.SAT, True, -19, -8),
        (Overflow.SAT, False, 19, 15),
        (Overflow.SAT, False, -19, 0),
        (Overflow.SAT_ZERO, True, 19, 0),
        (Overflow.SAT_ZERO, True, -19, 0),
        (Overflow.SAT_ZERO, False, 19, 0),
        (Overflow.SAT_ZERO, False, -19, 0),
        (Overflow.SAT_SYM, True, 19, 7),
        (Overflow.SAT_SYM, True, -19, -7),
        (Overflow.SAT_SYM, False, 19, 15),
        (Overflow.SAT_SYM, False, -19, 0),
        (Overflow.WRAP, True, 31, -1),
        (Overflow.WRAP, True, -19, -3),
        (Overflow.WRAP, False, 19, 3),
        (Overflow.WRAP, False, -19, 13),
    ],
)
def test_ug1399_overflow_examples(overflow: Overflow, signed: bool, value: int, result: int) -> None:
    """UG1399, overflow modes: a number into ap_fixed<4, 4, AP_RND, mode> or ap_ufixed."""
    codes = np.array([value])
    assert cast(codes, FixedType(True, 6, 0), FixedType(signed, 4, 0), Rounding.RND, overflow).tolist() == [result]


def test_sign_magnitude_wrap() -> None:
    """19 is 1 0011: the lost bit 1 is the sign, the rest 011 is inverted; -19 is ...0 1101, inverted likewise."""
    source, target = FixedType(True, 6, 0), FixedType(True, 4, 0)
    assert cast(np.array([19, -19, 7, -8]), source, target, Rounding.RND, Overflow.WRAP_SM).tolist() == [-4, 2, 7, -8]


@given(source=fixed_types(20, 24), pair=targets(12, 24), rounding=st.sampled_from(Rounding))
def test_cast_is_idempotent_and_in_range(source: FixedType, pair: tuple[FixedType, Overflow], rounding: Rounding) -> None:
    target, overflow = pair
    codes = np.linspace(source.min_int, source.max_int, 97).astype(np.int64)
    once = cast(codes, source, target, rounding, overflow)
    assert target.contains(once)
    assert np.array_equal(cast(once, target, target, rounding, overflow), once)


@given(source=fixed_types(20, 24), target=fixed_types(12, 24), rounding=st.sampled_from(Rounding))
def test_saturating_casts_are_monotone(source: FixedType, target: FixedType, rounding: Rounding) -> None:
    codes = np.linspace(source.min_int, source.max_int, 97).astype(np.int64)
    for overflow in (Overflow.SAT, Overflow.SAT_SYM):
        assert np.all(np.diff(cast(codes, source, target, rounding, overflow)) >= 0)


@given(type=fixed_types())
def test_repr_rebuilds_the_type(type: FixedType) -> None:
    assert eval(repr(type)) == type
    assert type.integer + type.frac == type.width


@given(low=st.integers(-(2**62), 2**62 - 1), high=st.integers(-(2**62), 2**62 - 1))
def test_for_range_is_the_narrowest_type(low: int, high: int) -> None:
    low, high = min(low, high), max(low, high)
    found = FixedType.for_range(low, high, 3)
    assert found.min_int <= low and high <= found.max_int
    assert found.signed == (low < 0)
    if found.width > 1:
        narrower = FixedType(found.signed, found.width - 1, 3)
        assert low < narrower.min_int or high > narrower.max_int


def test_ap_names() -> None:
    assert FixedType(True, 8, 3).ap_name == "ap_fixed<8, 5>"
    assert FixedType(False, 4, 6).ap_name == "ap_ufixed<4, -2>"
    assert FixedType(True, 4, -3).ap_name == "ap_fixed<4, 7>"


@pytest.mark.parametrize("width", [0, -1, MAX_WIDTH + 1])
def test_impossible_widths_are_refused(width: int) -> None:
    with pytest.raises(FormatError, match=re.escape(f"width of {width} bits is outside 1..63")):
        FixedType(True, width, 0)


def test_impossible_fracs_are_refused() -> None:
    with pytest.raises(FormatError, match=r"frac 513 is outside -512\.\.512"):
        FixedType(True, 8, MAX_FRAC + 1)


def test_a_range_beyond_63_bits_is_refused() -> None:
    with pytest.raises(FormatError, match="need 64 bits, above the limit of 63; narrow the operands"):
        FixedType.for_range(-(2**62) - 1, 0, 0)
    with pytest.raises(FormatError, match="an empty code range: low 3 is above high 2"):
        FixedType.for_range(3, 2, 0)


def test_wrap_sm_into_an_unsigned_format_is_refused_by_name() -> None:
    text = "AP_WRAP_SM has no meaning in an unsigned format, and AMD's headers refuse ap_ufixed with it; make the format signed"
    with pytest.raises(FormatError, match=text):
        cast(np.array([1]), FixedType(True, 4, 0), FixedType(False, 3, 0), Rounding.TRN, Overflow.WRAP_SM)
