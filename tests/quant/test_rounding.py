"""Rounding and overflow on tensors, against `qfx.fixed.cast`, which is written apart from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qfx.errors import QuantizationError
from qfx.fixed import FixedType, IntArray, Overflow, Rounding, cast
from qfx.quant import Quantizer, QuantSpec
from qfx.quant.rounding import exp2, round_to_integer

OVERFLOWS = [mode for mode in Overflow if mode is not Overflow.WRAP_SM]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("rounding", list(Rounding))
def test_every_mode_is_that_of_cast(rounding: Rounding, overflow: Overflow, dtype: torch.dtype) -> None:
    """All codes of a 9-bit source on widths 1 to 6, with negative binary points and ones above the width."""
    source = FixedType(True, 9, 4)
    codes: IntArray = np.arange(source.min_int, source.max_int + 1)
    x = torch.from_numpy(source.to_real(codes)).to(dtype)
    for width in range(1, 7):
        for frac in (-2, 0, 2, 4, 6, 8):
            for signed in (True, False):
                target = FixedType(signed, width, frac)
                found = Quantizer(QuantSpec.of(target, rounding, overflow))(x)
                wanted = target.to_real(cast(codes, source, target, rounding, overflow))
                np.testing.assert_array_equal(found.to(torch.float64).detach().numpy(), wanted)


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
        ({"width": 0}, r"0 bits is outside 1\.\.32"),
        ({"width": 4, "frac": 65}, r"frac 65 of a quantizer is outside -64\.\.64"),
        ({"width": 4, "k_hot": 0}, "at least one digit"),
        ({"width": 4, "overflow": Overflow.WRAP_SM}, "AP_WRAP_SM is not supported"),
        ({"width": 4, "k_hot": 1, "overflow": Overflow.WRAP}, "1-hot codes saturate"),
    ],
)
def test_impossible_specs(arguments: dict[str, int], text: str) -> None:
    with pytest.raises(QuantizationError, match=text):
        QuantSpec(**arguments)  # type: ignore[arg-type]
