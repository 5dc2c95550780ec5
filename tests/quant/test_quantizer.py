"""The cast's properties, its gradient against the closed form, initialisation, freezing, state."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qfx.errors import QuantizationError
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.quant import FixedPointCast, Quantizer, QuantSpec, best_frac, kernel, quantizers, set_enabled

ROUNDING = [mode for mode in Rounding if mode.name.startswith("RND")]
LN2 = math.log(2)


def gaussian(count: int = 20000, seed: int = 0) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fixed(
    width: int, frac: int, signed: bool = True, rounding: Rounding = Rounding.RND, overflow: Overflow = Overflow.SAT
) -> Quantizer:
    return Quantizer(QuantSpec.of(FixedType(signed, width, frac), rounding, overflow))


@given(st.integers(1, 12), st.integers(-6, 14), st.booleans(), st.sampled_from(list(Rounding)), st.integers(0, 1000))
def test_cast_properties(width: int, frac: int, signed: bool, rounding: Rounding, seed: int) -> None:
    """Idempotent, on the grid, in range, monotone, close inside the range; scaling by a power of two is exact."""
    x = gaussian(200, seed).sort().values * 2.0 ** (width - frac - 1)
    quantizer = fixed(width, frac, signed, rounding)
    q = quantizer(x)
    assert torch.equal(quantizer(q), q)
    codes, type = quantizer.codes(x)
    assert type == FixedType(signed, width, frac) and type.contains(codes)
    assert bool((q.diff() >= 0).all())
    inside = (x >= type.min_int * type.step) & (x <= type.max_int * type.step)
    error = (q - x).abs()[inside]
    assert bool((error <= type.step / 2).all()) if rounding in ROUNDING else bool((error < type.step).all())
    assert torch.equal(fixed(width, frac - 1, signed, rounding)(2 * x), 2 * q)


@given(st.integers(1, 10), st.integers(-3, 8))
def test_wrap_is_periodic(width: int, frac: int) -> None:
    x = gaussian(100).round(decimals=2)
    x = torch.floor(x * 2.0 ** (frac + 3)) / 2.0 ** (frac + 3)  # so that adding the period is exact
    quantizer = fixed(width, frac, overflow=Overflow.WRAP)
    assert torch.equal(quantizer(x + 2.0 ** (width - frac)), quantizer(x))


@pytest.mark.parametrize("rounding", [Rounding.RND_INF, Rounding.RND_ZERO, Rounding.RND_CONV, Rounding.TRN_ZERO])
def test_odd_symmetry(rounding: Rounding) -> None:
    quantizer = fixed(5, 2, rounding=rounding, overflow=Overflow.SAT_SYM)
    x = torch.arange(-80, 81, dtype=torch.float64) / 16
    assert torch.equal(quantizer(-x), -quantizer(x))


def wanted_gradients(x: Tensor, frac: float, spec: QuantSpec) -> tuple[Tensor, Tensor]:
    """Facts, section 1.3, written with the codes before overflow."""
    f = math.floor(frac + 0.5)
    type = spec.type(f)
    q = fixed(spec.width, f, spec.signed, spec.rounding, spec.overflow)(x)
    wide = fixed(32, f, True, spec.rounding)(x) * 2.0**f
    inside = (wide >= type.min_int) & (wide <= type.max_int)
    outside = torch.zeros_like(q) if spec.overflow is Overflow.WRAP else -LN2 * q
    return inside.to(x.dtype), torch.where(inside, LN2 * (x - q), outside)


@pytest.mark.parametrize("overflow", [Overflow.SAT, Overflow.WRAP, Overflow.SAT_ZERO])
@pytest.mark.parametrize("rounding", list(Rounding))
def test_gradient_is_the_closed_form(rounding: Rounding, overflow: Overflow) -> None:
    for width, frac, signed in ((2, 0.3, True), (4, 1.7, False), (6, 4.49, True), (8, -1.2, True), (1, 0.0, False)):
        spec = QuantSpec(width, signed, rounding=rounding, overflow=overflow)
        x = (gaussian(500) * 2.0 ** (width - frac - 1)).requires_grad_()
        f = torch.tensor(frac, dtype=torch.float64, requires_grad=True)
        upstream = gaussian(500, seed=7)
        FixedPointCast.cast(x, f, spec).backward(upstream)
        dx, df = wanted_gradients(x.detach(), frac, spec)
        assert x.grad is not None and f.grad is not None
        torch.testing.assert_close(x.grad, dx * upstream, rtol=0, atol=1e-12)
        torch.testing.assert_close(f.grad, (df * upstream).sum(), rtol=1e-6, atol=1e-9)


def test_gradient_per_channel() -> None:
    x = gaussian(60).view(3, 20)
    fracs = [0.0, 2.0, 5.0]
    frac = torch.tensor(fracs, dtype=torch.float64, requires_grad=True)
    spec = QuantSpec(4, per_channel=True)
    FixedPointCast.cast(x, frac, spec).sum().backward()
    assert frac.grad is not None
    for channel in range(3):
        _, wanted = wanted_gradients(x[channel], fracs[channel], spec)
        torch.testing.assert_close(frac.grad[channel], wanted.sum())


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("width", "signed", "k_hot", "largest"), [(4, True, None, 7), (4, False, None, 15), (6, True, 2, 31)])
@pytest.mark.parametrize("with_kernel", [False, True])
def test_scaled_gradient(per_channel: bool, width: int, signed: bool, k_hot: int | None, largest: int, with_kernel: bool) -> None:
    x = gaussian(60).view(3, 20)
    plain = QuantSpec(width, signed, per_channel=per_channel, k_hot=k_hot)
    found: list[tuple[Tensor, Tensor]] = []
    for spec in (plain, dataclasses.replace(plain, scale_gradient=True)):
        inputs, frac = (
            x.clone().requires_grad_(),
            torch.full((3,) if per_channel else (), 2.0, dtype=torch.float64).requires_grad_(),
        )
        with kernel.using(with_kernel):
            FixedPointCast.cast(inputs, frac, spec).square().sum().backward()
        assert inputs.grad is not None and frac.grad is not None
        found.append((inputs.grad, frac.grad))
    (dx, df), (scaled_dx, scaled_df) = found
    assert torch.equal(scaled_dx, dx) and bool(df.all())
    torch.testing.assert_close(scaled_df, df / math.sqrt((20 if per_channel else 60) * largest))


def error_gradient(x: Tensor, frac: float, spec: QuantSpec) -> float:
    f = torch.tensor(frac, dtype=torch.float64, requires_grad=True)
    (FixedPointCast.cast(x, f, spec) - x).square().mean().backward()
    assert f.grad is not None
    return float(f.grad)


@pytest.mark.parametrize(("width", "best"), [(2, 0), (3, 1), (4, 1), (6, 3), (8, 5)])
def test_best_frac_of_a_gaussian_and_the_gradients_sign(width: int, best: int) -> None:
    """The derivative of the squared error is negative below the best integer and positive above it."""
    x, spec = gaussian(), QuantSpec(width)
    assert int(best_frac(x, spec)) == best
    assert error_gradient(x, best - 1, spec) < 0 < error_gradient(x, best + 1, spec)


@pytest.mark.parametrize("k", [1, 2])
def test_khot_gradient(k: int) -> None:
    x, spec = gaussian(300).requires_grad_(), QuantSpec(6, k_hot=k)
    f = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    q = FixedPointCast.cast(x, f, spec)
    q.sum().backward()
    assert f.grad is not None and x.grad is not None
    inside = x.grad == 1
    torch.testing.assert_close(f.grad, torch.where(inside, LN2 * (x - q), -LN2 * q).sum().detach())
    assert bool((x.detach()[~inside].abs() > 1.4).all())


@pytest.mark.parametrize(
    "spec", [QuantSpec(w, s, k_hot=k) for w in (1, 2, 4, 7) for s in (True, False) for k in (None, 1, 2)], ids=str
)
def test_best_frac_against_a_wide_search(spec: QuantSpec) -> None:
    x = gaussian(2000) * 3e-3
    for data in (x, x.exp(), x.abs() ** 3, torch.cat([x, torch.tensor([1.0], dtype=torch.float64)])):
        errors = {
            f: float((FixedPointCast.cast(data, torch.tensor(float(f)), spec) - data).square().mean()) for f in range(-20, 40)
        }
        assert errors[int(best_frac(data, spec))] == min(errors.values())


def test_best_frac_per_channel_and_of_zeros() -> None:
    x = torch.stack([gaussian(500), gaussian(500) * 2.0**-5, torch.zeros(500, dtype=torch.float64)])
    spec = QuantSpec(4, per_channel=True)
    assert best_frac(x, spec).tolist() == [1, 6, 3]


@pytest.mark.parametrize("rounding", ROUNDING)
def test_more_bits_are_asked_for_by_the_error(rounding: Rounding) -> None:
    """The gradient of sum |x - q| never asks for a coarser grid inside the range, and for a finer one unless x is on it."""
    x = torch.arange(-64, 64, dtype=torch.float64) / 16
    for value in x:
        f = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
        q = FixedPointCast.cast(value.reshape(1), f, QuantSpec(8, rounding=rounding))
        (value - q).abs().sum().backward()  # type: ignore[no-untyped-call]
        assert f.grad is not None and (float(f.grad) < 0 or q.item() == value.item())


@pytest.mark.parametrize("start", [-4, 4])
@pytest.mark.parametrize("width", [3, 6])
def test_a_binary_point_finds_its_way(width: int, start: int) -> None:
    x, spec = gaussian(4000), QuantSpec(width)
    best = int(best_frac(x, spec))
    quantizer = Quantizer(QuantSpec(width, frac=best + start)).to(torch.float64)
    optimizer = torch.optim.Adam([quantizer.frac], lr=5e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (quantizer(x) - x).square().mean().backward()
        optimizer.step()
    assert abs(int(quantizer.fracs) - best) <= 1


def test_forward_uses_the_rounded_binary_point() -> None:
    x = gaussian(100)
    quantizer = Quantizer(QuantSpec(5, frac=3))
    wanted = quantizer(x)
    with torch.no_grad():
        quantizer.frac.fill_(3.4)
    assert torch.equal(quantizer(x), wanted) and quantizer.fixed_type() == FixedType(True, 5, 3)
    quantizer.freeze()
    assert torch.equal(quantizer.eval()(x), wanted) and quantizer.frac.item() == 3.0
    assert not quantizer(x).requires_grad


def test_per_channel_codes_share_the_finest_grid() -> None:
    quantizer = Quantizer(QuantSpec(3, per_channel=True), 2)
    with torch.no_grad():
        quantizer.frac.copy_(torch.tensor([1.0, 4.0]))
    quantizer.calibrated.fill_(True)
    codes, type = quantizer.codes(torch.tensor([[1.5, -0.5], [0.0625, -0.25]]))
    assert type == FixedType(True, 6, 4)
    np.testing.assert_array_equal(codes, [[24, -8], [1, -4]])


def test_values_off_the_grid_have_no_codes() -> None:
    class Leaky(Quantizer):
        def forward(self, x: Tensor, relu: bool = False, narrow: bool = False) -> Tensor:
            return super().forward(x, relu, narrow) + 0.01

    with pytest.raises(QuantizationError, match=r"a quantizer of 4 bits gave values that are off its grid 2\*\*-2"):
        Leaky(QuantSpec(4, frac=2)).codes(gaussian(10))


def test_training_calibrates_on_the_first_batch() -> None:
    quantizer = Quantizer(QuantSpec(4))
    quantizer(gaussian())
    assert bool(quantizer.calibrated) and int(quantizer.fracs) == 1


def test_state_survives() -> None:
    model = torch.nn.Sequential(Quantizer(QuantSpec(4)), Quantizer(QuantSpec(6, k_hot=2)))
    model(gaussian())
    quantizers(model)["1"].freeze()
    again = torch.nn.Sequential(Quantizer(QuantSpec(4)), Quantizer(QuantSpec(6, k_hot=2)))
    again.load_state_dict(model.state_dict())
    x = gaussian(100, seed=3)
    assert torch.equal(again.eval()(x), model.eval()(x))
    assert [bool(q.frozen) for q in quantizers(again).values()] == [False, True]


def test_disabled_passes_floats() -> None:
    quantizer = Quantizer(QuantSpec(2)).eval()
    x = gaussian(50)
    set_enabled(quantizer, False)
    assert quantizer(x) is x
    with pytest.raises(QuantizationError, match="is switched off; a float model has no formats"):
        quantizer.fixed_type()


def test_uncalibrated_in_eval_is_an_error_that_names_the_fix() -> None:
    model = torch.nn.Sequential(Quantizer(QuantSpec(5))).eval()
    quantizers(model)
    with pytest.raises(QuantizationError, match=r"the quantizer '0' \(5 bits\) is not calibrated .* qfx\.conversion\.calibrate"):
        model(gaussian(10))
    with pytest.raises(QuantizationError, match="a quantizer of 5 bits is not calibrated"):
        Quantizer(QuantSpec(5)).fixed_type()


@pytest.mark.parametrize("x", [torch.zeros(0), torch.tensor([1.0, math.nan])])
def test_calibration_data_has_to_be_finite(x: Tensor) -> None:
    with pytest.raises(QuantizationError, match="cannot be calibrated on an empty or non-finite tensor"):
        Quantizer(QuantSpec(5)).calibrate(x)


def test_per_channel_activations_are_refused() -> None:
    with pytest.raises(QuantizationError, match="per channel fits constants only"):
        Quantizer(QuantSpec(4, per_channel=True))


def test_repr_shows_the_format() -> None:
    assert repr(Quantizer(QuantSpec(4, False))) == "Quantizer(unsigned 4 bits, not calibrated)"
    assert repr(Quantizer(QuantSpec(4, frac=2))) == "Quantizer(signed 4 bits, frac=2)"
