"""Binary points from data, by each method."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import qfx
from qfx import nn as qnn
from qfx.conversion import Method, calibrate
from qfx.conversion.calibration import largest_frac, search_of
from qfx.errors import InputError
from qfx.fixed import FixedType
from qfx.quant import QuantSpec, quantizers
from qfx.quant.cast import quantize
from tests.conversion.nets import FAMILIES, check_exact, for_images, images

WIDTHS = pytest.mark.parametrize("spec", [QuantSpec(8), QuantSpec(4, False), QuantSpec(2), QuantSpec(6, k_hot=2), QuantSpec(1)])


def values(scale: float) -> Tensor:
    return scale * torch.randn(1001, generator=torch.Generator().manual_seed(0))


@WIDTHS
@pytest.mark.parametrize("scale", [1e-3, 1.0, 700.0])
def test_max_is_the_largest_without_overflow(spec: QuantSpec, scale: float) -> None:
    x = values(scale)
    x = x if spec.signed else x.abs()
    x = -x.abs() if spec.width == 1 else x
    frac = largest_frac(x, spec)
    assert bool(quantize(x.double(), frac, spec)[1].all()) and not bool(quantize(x.double(), frac + 1, spec)[1].all())


def test_both_ends_of_a_signed_range() -> None:
    """-8 is a code of 4 bits, +8 is none, and neither is what rounds to 8."""
    for x, frac in ((-8.0, 0), (7.0, 0), (7.49, 0), (7.5, -1), (8.0, -1), (-8.4, 0), (-0.5, 4), (0.4375, 4)):
        assert int(largest_frac(torch.tensor([x, 0.0]), QuantSpec(4))) == frac, x


def test_a_percentile_leaves_the_largest_out() -> None:
    x = torch.cat([torch.linspace(-1, 1, 999), torch.tensor([100.0])])
    assert int(largest_frac(x, QuantSpec(8))) == 0
    assert int(largest_frac(x, QuantSpec(8), 99.9)) == 6
    assert int(largest_frac(x, QuantSpec(8), 50.0)) == 7


def test_per_channel_and_zero() -> None:
    x = torch.tensor([[1.0, -0.5], [0.0, 0.0], [100.0, 3.0]])
    assert largest_frac(x, QuantSpec(8, per_channel=True)).tolist() == [6, 7, 0]
    assert int(largest_frac(torch.zeros(3), QuantSpec(8))) == 7
    assert int(largest_frac(torch.full((3,), -1.0), QuantSpec(8, signed=False))) == 7


@pytest.mark.parametrize("method", ["mse", "max", "percentile"])
def test_a_network_by_each_method(method: str) -> None:
    make, shape = FAMILIES["mobilenet_v2"]
    torch.manual_seed(0)
    x = images(shape)
    model = qfx.convert(make(), x, for_images(calibration=method, percentile=99.0))
    check_exact(model, x)
    weight = model.get_parameter("features.2.conv.0.0.weight")
    found = quantizers(model)["features.2.conv.0.0.weight_quant"]
    assert int(found.fracs) == int(search_of(method, 99.0)(weight, found.spec))
    assert found.collector is None


def test_batches_of_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = qnn.QuantInput(type=FixedType(True, 8, 4), output=QuantSpec(4))
            self.b = qnn.QuantInput(type=FixedType(True, 8, 4), output=QuantSpec(4))

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return self.a(a) + self.b(b)

    model = Two()
    calibrate(model, [(torch.full((2, 3), 16.0), torch.full((2, 3), 64.0))] * 2, Method.MAX)
    assert int(quantizers(model)["a.quant"].fracs) == 2 and int(quantizers(model)["b.quant"].fracs) == 0


def test_refused() -> None:
    model = nn.Sequential(qnn.QuantInput(type=FixedType(True, 8, 4), output=QuantSpec(4)))
    with pytest.raises(InputError, match="there is no calibration method 'median'; the methods are mse, max, percentile"):
        calibrate(model, [torch.ones(2, 2)], "median")
    with pytest.raises(InputError, match=r"the percentile 0 is outside 0\.\.100"):
        calibrate(model, [torch.ones(2, 2)], "percentile", percentile=0)
    with pytest.raises(InputError, match="calibrate needs at least one batch"):
        calibrate(model, [])


def _linear() -> nn.Module:
    return qfx.convert(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.randn(8, 3))


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (
            {"a": torch.zeros(2, 3)},
            r"the batches are a dict; a list of tensors \(batch, ...\) is wanted, or a DataLoader",
        ),
        ([(torch.zeros(2, 3), torch.zeros(2))], r"a batch has 2 tensors, but Sequential.forward takes others: .* without labels"),
        (
            [torch.zeros(2, 3), torch.zeros(2, 4)],
            r"batch 0 has the shapes \[2, 3\], but batch 1 has \[2, 4\]; all have",
        ),
        (
            [torch.zeros(2, 3), torch.zeros(0, 3)],
            r"batch 1 has the shape \[0, 3\]; \(batch, ...\) is wanted, with a sample",
        ),
        ([(torch.zeros(2, 3), torch.zeros(5, 3))], "batch 0 holds 2, 5 samples of its inputs; as many of each are wanted"),
        ([torch.full((2, 3), torch.nan)], "batch 0 holds 6 of 6 values that are NaN or infinite"),
        ([torch.zeros(2, 4)], r"the network fails on inputs of \[2, 4\]: mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_batches_that_do_not_fit(batches: Any, message: str) -> None:
    model = _linear()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if "frac" in name}
    with pytest.raises(InputError, match=message):
        calibrate(model, batches)
    assert before.keys() and all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


def test_one_tensor_is_one_batch_and_arrays_are_taken() -> None:
    x, found = torch.randn(8, 3), list[dict[str, Any]]()
    given: list[Any] = [[x], x, x.numpy(), [x[:4], x[4:].numpy()], (part for part in (x,))]
    for batches in given:
        torch.manual_seed(0)
        model = _linear()
        calibrate(model, batches)
        found.append({name: tensor.tolist() for name, tensor in model.state_dict().items() if "frac" in name})
    assert all(fracs == found[0] for fracs in found)


def test_a_sample_of_as_many_of_each_input() -> None:
    class Sum(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.relu(a) + torch.relu(b)

    with pytest.raises(InputError, match="batch 0 holds 5, 8 samples of its inputs"):
        qfx.convert(Sum(), (torch.rand(5, 3), torch.rand(8, 3)))
