"""Rounding and overflow on tensors, against `qfx.fixed.cast`, which is written apart from them."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from qfx.errors import ExactnessError, QuantizationError
from qfx.fixed import FixedType, IntArray, Overflow, Rounding, cast
from qfx.ir import Value
from qfx.nn import Model, QuantInput, Quantize
from qfx.ops import Requantize
from qfx.ops.sampling import corner_codes, random_codes
from qfx.quant import Quantizer, QuantSpec
from qfx.quant.rounding import exp2, round_to_integer
from tests.devices import DEVICES

PAIRS = [(signed, overflow) for overflow in Overflow for signed in (True, False) if signed or overflow is not Overflow.WRAP_SM]
"""Sign of the target, overflow mode."""


def check(
    codes: IntArray, source: FixedType, target: FixedType, rounding: Rounding, overflow: Overflow, like: torch.Tensor
) -> None:
    """The quantizer's result in the dtype and on the device of `like` is that of `cast`."""
    x = torch.from_numpy(source.to_real(codes)).to(like)
    found = Quantizer(QuantSpec.of(target, rounding, overflow)).to(like.device).eval()(x)
    wanted = target.to_real(cast(codes, source, target, rounding, overflow))
    np.testing.assert_array_equal(
        found.to("cpu", torch.float64).detach().numpy(), wanted, err_msg=f"{source}, {target}, {rounding}, {overflow}"
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_every_mode_is_that_of_cast(dtype: torch.dtype, device: str) -> None:
    """All codes of a 9-bit source on widths 1 to 6, with negative binary points and ones above the width."""
    source, like = FixedType(True, 9, 4), torch.zeros((), dtype=dtype, device=device)
    codes: IntArray = np.arange(source.min_int, source.max_int + 1)
    for (signed, overflow), rounding, width, frac in product(PAIRS, Rounding, range(1, 7), (-2, 0, 2, 4, 6, 8)):
        check(codes, source, FixedType(signed, width, frac), rounding, overflow, like)


@st.composite
def wide_casts(draw: st.DrawFn) -> tuple[FixedType, Requantize]:
    """A source and a cast, with all intermediates below 2**53."""
    signed, overflow = draw(st.sampled_from(PAIRS))
    source = FixedType(draw(st.booleans()), draw(st.integers(1, 53)), draw(st.integers(-60, 60)))
    shift = draw(st.integers(-52, 52))
    target = FixedType(signed, draw(st.integers(1, 53)), max(-64, min(64, source.frac - shift)))
    op = Requantize(target, draw(st.sampled_from(Rounding)), overflow)
    assume(op.bound([Value("x", source, (1,))]) < 1 << 53)
    return source, op


@pytest.mark.parametrize("device", DEVICES)
@given(pair=wide_casts(), seed=st.integers(0, 99))
def test_wide_formats_are_those_of_cast(pair: tuple[FixedType, Requantize], seed: int, device: str) -> None:
    """Wherever intermediates stay below 2**53, in float64."""
    source, op = pair
    codes = np.concatenate([random_codes(source, (60,), seed), corner_codes(source, (1,)).ravel()])
    check(codes, source, op.type, op.rounding, op.overflow, torch.zeros((), dtype=torch.float64, device=device))


def test_casts_beyond_float64_are_refused() -> None:
    """Width 40 to a grid that is 20 bits finer: torch says why it cannot, and the integer engine does it."""
    model = Model(nn.Sequential(QuantInput(type=FixedType(True, 40, 0)), Quantize(QuantSpec.of(FixedType(True, 53, 20)))))
    text = (
        r"torch cannot compute '1.quant' \(requantize of \S+ ap_fixed<40, 40>\) exactly: an intermediate reaches 60 bits, "
        "float64 holds 53; narrow the operands"
    )
    with pytest.raises(ExactnessError, match=text):
        model.eval()(torch.zeros(1, 3, dtype=torch.float64))


@pytest.mark.parametrize("width", [25, 32, 53])
def test_codes_of_wide_constants_stay_in_range(width: int) -> None:
    """2**31 - 1 is no float32: a weight that saturates must not become 2**31."""
    quantizer = Quantizer(QuantSpec.of(FixedType(True, width, width)))
    x = torch.tensor([0.75, -0.75, 0.1])
    codes, type = quantizer.codes(x)
    assert codes.tolist()[:2] == [type.max_int, type.min_int]
    assert quantizer.eval()(x).dtype == torch.float64
    assert np.ldexp(quantizer(x).detach().numpy(), width).tolist() == codes.tolist()


@pytest.mark.parametrize("overflow", list(Overflow))
def test_gradients_outside_the_range(overflow: Overflow) -> None:
    """x is not moved from outside; what wraps moves the binary point neither, what saturates does."""
    x = torch.tensor([0.3, 9.0, -9.0], requires_grad=True)
    quantizer = Quantizer(QuantSpec(4, frac=1, overflow=overflow))
    result = quantizer(x)
    result.sum().backward()  # type: ignore[no-untyped-call]
    inner = math.log(2) * (0.3 - 0.5)
    outer = 0.0 if overflow.name.startswith("WRAP") else -math.log(2) * float(result[1:].detach().sum())
    assert x.grad is not None and x.grad.tolist() == [1.0, 0.0, 0.0]
    assert quantizer.frac.grad is not None and float(quantizer.frac.grad) == pytest.approx(inner + outer, abs=1e-6)


@pytest.mark.parametrize("rounding", [mode for mode in Rounding if mode.name.startswith("RND")])
def test_just_beside_a_half(rounding: Rounding) -> None:
    """0.49999997 + 0.5 is 1 in float32: the largest float below a half has to go down, the smallest above has to go up."""
    for half in (0.5, 1.5, 2.5, 1023.5):
        value = torch.tensor(half)
        below = torch.nextafter(value, torch.tensor(0.0))
        above = torch.nextafter(value, torch.tensor(2000.0))
        low, high = math.floor(half), math.ceil(half)
        assert round_to_integer(torch.stack([below, above, -below, -above]), rounding).tolist() == [low, high, -low, -high]


def test_tiny_values_round_to_zero() -> None:
    tiny = torch.tensor([1e-30, -1e-30])
    for rounding in (mode for mode in Rounding if mode.name.startswith("RND")):
        assert round_to_integer(tiny, rounding).abs().tolist() == [0.0, 0.0]


def test_powers_of_two_are_exact() -> None:
    exponents = torch.arange(-120, 121)
    for dtype in (torch.float32, torch.float64):
        assert exp2(exponents, dtype).tolist() == [math.ldexp(1.0, int(e)) for e in exponents]


def test_half_precision_is_refused() -> None:
    with pytest.raises(QuantizationError, match=r"float32 or float64, not in torch\.bfloat16; switch autocast"):
        Quantizer(QuantSpec(4, frac=2))(torch.zeros(3, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"width": 0}, r"0 bits is outside 1\.\.53"),
        ({"width": 54}, r"54 bits is outside 1\.\.53: torch computes in float64, which holds 53 bits; narrow it"),
        ({"width": 4, "frac": 65}, r"frac 65 of a quantizer is outside -64\.\.64"),
        ({"width": 4, "k_hot": 0}, "at least one digit"),
        ({"width": 4, "max_exponent": 2}, "max_exponent=2 is about the digits of K-hot codes; give k_hot, too"),
        ({"width": 4, "k_hot": 1, "max_exponent": -1}, r"max_exponent=-1: the least digit is 2\*\*0 steps; raise frac"),
        (
            {"width": 4, "k_hot": 2, "max_exponent": 2},
            "2-hot codes with exponents up to 2 reach 8, but signed codes of 4 bits 7; widen them or lower max_exponent",
        ),
        ({"width": 4, "signed": False, "overflow": Overflow.WRAP_SM}, "4 bits: AP_WRAP_SM has no meaning in an unsigned format"),
        ({"width": 4, "k_hot": 1, "overflow": Overflow.WRAP}, "1-hot codes saturate"),
    ],
)
def test_impossible_specs(arguments: dict[str, int], text: str) -> None:
    with pytest.raises(QuantizationError, match=text):
        QuantSpec(**arguments)  # type: ignore[arg-type]
