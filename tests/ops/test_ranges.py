"""What the type rule of a sum of products claims, by brute force; and that a bound counts what rounding adds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfx.errors import GraphError
from qfx.exact import LIMITS, accumulator_dtype
from qfx.fixed import FixedType, IntArray, Rounding
from qfx.ir import Value
from qfx.ops import AvgPool2d, Clamp, Linear, Requantize

FORMATS = st.builds(FixedType, st.booleans(), st.integers(1, 5), st.integers(-1, 3))


def codes_of(type: FixedType, seed: int, *shape: int) -> IntArray:
    """Random codes, both ends among them more often than the rest."""
    random = np.random.default_rng(seed)
    ends = random.choice([type.min_int, type.max_int], shape)
    return np.where(random.random(shape) < 0.3, ends, random.integers(type.min_int, type.max_int + 1, shape))


def partial_sums(weight: IntArray, bias: IntArray, x: FixedType, up_products: int, up_bias: int) -> list[int]:
    """The sum of every subset of the terms, bias among them, for every combination of the extremes of x: what any order meets."""
    found: list[int] = []
    for row, added in zip(weight.tolist(), bias.tolist(), strict=True):
        for codes in itertools.product((x.min_int, x.max_int), repeat=len(row)):
            terms = [(w * code) << up_products for w, code in zip(row, codes, strict=True)] + [added << up_bias]
            found += [sum(kept) for count in range(len(terms) + 1) for kept in itertools.combinations(terms, count)]
    return found


@given(x=FORMATS, w=FORMATS, b=FORMATS, seed=st.integers(0, 1 << 20))
def test_a_sum_covers_every_partial_sum_in_any_order_and_no_more(x: FixedType, w: FixedType, b: FixedType, seed: int) -> None:
    weight, bias = codes_of(w, seed, 2, 3), codes_of(b, seed + 1, 2)
    operands = (Value("x", x, (3,)), Value("w", w, (2, 3), weight), Value("b", b, (2,), bias))
    frac = max(x.frac + w.frac, b.frac)
    sums = partial_sums(weight, bias, x, frac - x.frac - w.frac, frac - b.frac)
    type, _ = Linear().infer(operands)
    assert type == FixedType.for_range(min(sums), max(sums), frac)
    assert Linear().bound(operands) >= max(map(abs, sums))


def test_a_negative_bias_leaves_room_for_the_sum_without_it() -> None:
    """x * 1 reaches 255, whatever is subtracted afterwards; the results alone would fit 8 bits."""
    x, one = Value("x", FixedType(False, 8, 0), (1,)), Value("w", FixedType(False, 1, 0), (1, 1), np.array([[1]]))
    bias = Value("b", FixedType(True, 8, 0), (1,), np.array([-128]))
    assert Linear().infer((x, one, bias))[0] == FixedType(True, 9, 0)


@pytest.mark.parametrize("shift", [1, 2, 7])
@pytest.mark.parametrize(("width", "narrow", "wide"), [(24, "float32", "float64"), (53, "float64", "int64")])
def test_the_offset_of_a_rounding_counts(width: int, narrow: str, wide: str, shift: int) -> None:
    """Codes just below an accumulator dtype's limit fit it, and their sum with half of what is dropped does not."""
    x = Value("x", FixedType(False, width, shift), (1,))
    op = Requantize(FixedType(False, 8, 0), Rounding.RND)
    assert op.bound((x,)) == LIMITS[narrow] - 1 + (1 << shift - 1)
    assert accumulator_dtype(x.type.max_abs) == narrow and accumulator_dtype(op.bound((x,))) == wide
    signed = Value("x", FixedType(True, width, shift), (1,))
    assert op.bound((signed,)) == LIMITS[narrow] // 2 + (1 << shift - 1) and accumulator_dtype(op.bound((signed,))) == narrow


@given(x=FORMATS, target=FORMATS, rounding=st.sampled_from(Rounding))
def test_no_step_of_a_rounding_exceeds_its_bound(x: FixedType, target: FixedType, rounding: Rounding) -> None:
    """The steps that the engines take: the code with half of what is dropped added or subtracted, and the code on a finer grid."""
    down = x.frac - target.frac
    half = 1 << down >> 1 if down > 0 else 0
    bound = Requantize(target, rounding).bound((Value("x", x, (1,)),))
    for code in (x.min_int, x.max_int):
        assert max(abs(code + half), abs(code - half), abs(code) << max(-down, 0)) <= bound


@given(x=FORMATS, low=st.none() | st.integers(-9, 9), more=st.none() | st.integers(0, 9), frac=st.integers(-3, 4))
def test_a_clamp_meets_its_bound(x: FixedType, low: int | None, more: int | None, frac: int) -> None:
    """The largest of the codes and the bounds, all on the finest grid, and nothing above it."""
    op = Clamp(low, None if more is None else (low or 0) + more, frac)
    finest = max(x.frac, frac)
    codes = [code << finest - x.frac for code in (x.min_int, x.max_int)]
    codes += [code << finest - frac for code in (op.low, op.high) if code is not None]
    assert op.bound((Value("x", x, (1,)),)) == max(map(abs, codes))


def test_the_least_and_the_largest_code_of_a_reciprocal() -> None:
    """1/3 in units of 2**-frac, rounded: 3 at a frac of 3, 1 at a frac of 1 or 2."""
    x = Value("x", FixedType(True, 4, 0), (1, 1, 3))

    def infer(width: int, frac: int) -> FixedType:
        return AvgPool2d((1, 3), (1, 3), reciprocal=FixedType(False, width, frac)).infer((x,))[0]

    assert infer(2, 3).frac == 3 and infer(1, 2).frac == 2 and infer(1, 1).frac == 1
    for width, frac in ((1, 3), (1, 0)):
        with pytest.raises(GraphError, match=r"avg_pool2d: 1/3 has the code \d in FixedType.*; choose another format"):
            infer(width, frac)
