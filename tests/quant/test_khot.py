"""K-hot projection: optimal, at most K digits after clipping, monotone, idempotent, lossless at K = ceil(W / 2)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from qfx.fixed import FixedType
from qfx.ops.base import signed_digits
from qfx.quant import Quantizer, QuantSpec, kernel, project_k_hot
from qfx.quant.cast import compute, quantize

CASES = [(width, k) for width in range(1, 10) for k in (1, 2, 3, 4)]


def fine_grid(type: FixedType, dtype: torch.dtype = torch.float64) -> Tensor:
    """The range and a little more, in eighths of a step."""
    return torch.arange(8 * (type.min_int - 3), 8 * (type.max_int + 3) + 1, dtype=dtype) / 8


def levels(type: FixedType, k: int) -> Tensor:
    """Every code of the format with at most k signed digits, by brute force."""
    codes = np.arange(type.min_int, type.max_int + 1)
    return torch.from_numpy(codes[signed_digits(codes) <= k].astype(np.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("width", "k"), CASES)
def test_optimal_and_within_k_digits(width: int, k: int, signed: bool, dtype: torch.dtype) -> None:
    type = FixedType(signed, width, 0)
    x = fine_grid(type, dtype)
    found = project_k_hot(x, k, type)[0].to(torch.float64)
    assert bool(torch.isin(found, levels(type, k)).all())
    best = (x[:, None].to(torch.float64) - levels(type, k)).abs().amin(1)
    torch.testing.assert_close((found - x).abs(), best, rtol=0, atol=0)


def sums(k: int, most: int, signed: bool) -> Tensor:
    """Every sum of at most k signed powers of two with exponents 0..most, by brute force; from 0 if unsigned."""
    digits = [0, *(sign * 2**e for e in range(most + 1) for sign in (1, -1))]
    codes = torch.tensor(sorted({sum(chosen) for chosen in itertools.combinations_with_replacement(digits, k)}))
    return codes[(codes >= 0) | signed].to(torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("k", "most"), [(k, most) for k in (1, 2, 3) for most in range(6)])
def test_optimal_with_a_largest_exponent(k: int, most: int, signed: bool, dtype: torch.dtype) -> None:
    """No digit above it, and of all such sums the nearest; the kernel gives the same bits."""
    spec = QuantSpec(9, signed, k_hot=k, frac=0, max_exponent=most)
    grid, x = sums(k, most, signed), fine_grid(FixedType(signed, 8, 0), dtype)
    found, inside = quantize(x, torch.tensor(0), spec)
    assert bool(torch.isin(found.to(torch.float64), grid).all()) and float(grid.max()) == spec.largest
    best = (x[:, None].to(torch.float64) - grid).abs().amin(1)
    torch.testing.assert_close((found - x).abs().to(torch.float64), best, rtol=0, atol=0)
    reached = (x.abs() < spec.largest + 1) & ((x >= -0.5) | signed)
    assert torch.equal(inside[x != -0.5], reached[x != -0.5])
    with kernel.using(True):
        assert torch.equal(compute(x, torch.tensor(0.0, dtype=dtype), spec)[0], found)


def test_a_largest_exponent_of_a_quantizer() -> None:
    """Calibration knows how far the digits reach, and the range of digits is 2**-frac to 2**(max_exponent - frac)."""
    weight = torch.randn(400, generator=torch.Generator().manual_seed(0))
    for k, most in ((1, 3), (2, 2), (3, 0)):
        quantizer = Quantizer(QuantSpec.weights(8, k_hot=k, max_exponent=most))
        quantizer.calibrate(weight)
        codes, _ = quantizer.codes(weight)
        errors = [float((quantize(weight, torch.tensor(f), quantizer.spec)[0] - weight).square().mean()) for f in range(-12, 13)]
        assert int(quantizer.fracs) == int(np.argmin(errors)) - 12
        assert int(signed_digits(codes).max()) <= k and bool(torch.isin(torch.from_numpy(codes), sums(k, most, True)).all())


def test_other_digits_keep_the_limit_where_it_fits() -> None:
    spec = QuantSpec(6, k_hot=2, max_exponent=3)
    assert (spec.largest, spec.with_digits(3).max_exponent, spec.with_digits(4).max_exponent) == (16, 3, None)
    assert spec.with_digits(None) == QuantSpec(6)


@pytest.mark.parametrize(("width", "k"), [(12, 2), (12, 3), (16, 2)])
def test_optimal_at_wide_formats(width: int, k: int) -> None:
    type = FixedType(True, width, 0)
    x = torch.from_numpy(np.random.default_rng(width).uniform(type.min_int, type.max_int, 4000))
    grid = levels(type, k)
    position = torch.searchsorted(grid, x).clamp(1, len(grid) - 1)
    best = torch.minimum((x - grid[position - 1]).abs(), (x - grid[position]).abs())
    torch.testing.assert_close((project_k_hot(x, k, type)[0] - x).abs(), best, rtol=0, atol=0)


@pytest.mark.parametrize(("width", "k"), CASES)
def test_monotone_idempotent_nested(width: int, k: int) -> None:
    type = FixedType(True, width, 0)
    x = fine_grid(type)
    found = project_k_hot(x, k, type)[0]
    assert bool((found.diff() >= 0).all())
    assert torch.equal(project_k_hot(found, k, type)[0], found)
    assert bool(((project_k_hot(x, k + 1, type)[0] - x).abs() <= (found - x).abs()).all())


@pytest.mark.parametrize("width", range(1, 11))
def test_lossless_at_half_the_width(width: int) -> None:
    type = FixedType(True, width, 0)
    codes = torch.arange(type.min_int, type.max_int + 1, dtype=torch.float32)
    assert torch.equal(project_k_hot(codes, (width + 1) // 2, type)[0], codes)


def test_unrounded_values_are_projected() -> None:
    """Rounding 5.5 to 6 first would leave 1-hot the choice of 4 and 8; the value itself is nearer to 4."""
    type = FixedType(True, 8, 0)
    assert project_k_hot(torch.tensor([5.75, 11.0, 120.0]), 1, type)[0].tolist() == [4.0, 8.0, 64.0]
    assert project_k_hot(torch.tensor([11.0, 126.9]), 2, type)[0].tolist() == [12.0, 127.0]


def test_inside_means_not_clipped() -> None:
    type = FixedType(True, 4, 0)
    inside = project_k_hot(torch.tensor([-100.0, -8.0, 3.0, 7.0, 100.0]), 2, type)[1]
    assert inside.tolist() == [False, True, True, True, False]
    assert project_k_hot(torch.tensor([-100.0, -8.0, 100.0]), 1, type)[1].tolist() == [False, True, False]


@pytest.mark.parametrize("per_channel", [False, True])
def test_codes_of_a_quantizer_keep_k(per_channel: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(6, 50, generator=generator) * torch.tensor([4.0, 1, 0.5, 0.1, 0.02, 30])[:, None]
    for k in (1, 2, 3):
        quantizer = Quantizer(QuantSpec(8, k_hot=k, per_channel=per_channel), 6)
        quantizer.calibrate(weight)
        codes, type = quantizer.codes(weight)
        assert type.contains(codes) and int(signed_digits(codes).max()) <= k
        np.testing.assert_array_equal(type.to_real(codes), quantizer(weight).detach().numpy())
