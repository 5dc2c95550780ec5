"""Batch normalisation as one step in training, against its separate steps; and what eval takes together, against step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
import torch
from torch import Tensor

import qfx
import qfx.nn as qnn
from qfx.conversion import Converted, calibrate
from qfx.models import ResNet8
from qfx.nn._evaluation import observing
from qfx.quant import FixedPointCast, QuantSpec, quantizers


def resnet8(images: int) -> tuple[Converted, Tensor]:
    """A calibrated ResNet-8 and what it was calibrated on."""
    model, x = ResNet8(), torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8)
    return qfx.convert(model, config=qfx.ConvertConfig(input=qfx.InputFormat.fractions()), sample=x), x


def separate(bn: qnn.BatchNorm2d, x: Tensor) -> Tensor:
    """The layer's formula, with autograd through every step."""
    mean = x.mean((0, 2, 3))
    var = (x - mean.view(1, -1, 1, 1)).square().mean((0, 2, 3))
    scale = bn.weight * torch.rsqrt(var + bn.eps)
    offset = bn.bias - mean * scale
    scale = FixedPointCast.cast(scale, bn.scale_quant.frac, bn.scale_quant.spec)
    offset = FixedPointCast.cast(offset, bn.offset_quant.frac, bn.offset_quant.spec)
    return x * scale.view(1, -1, 1, 1) + offset.view(1, -1, 1, 1)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("scale_spec", [QuantSpec(8), QuantSpec(3), QuantSpec(8, k_hot=2), QuantSpec(6, per_channel=True)], ids=str)
def test_training_as_one_step(scale_spec: QuantSpec) -> None:
    generator = torch.Generator().manual_seed(0)
    bn = qnn.BatchNorm2d(5, scale=scale_spec, offset=QuantSpec(4)).to(torch.float64)
    x = torch.randn(6, 5, 7, 9, generator=generator, dtype=torch.float64) * 3 + 20
    with torch.no_grad():
        bn.weight.uniform_(0.5, 2, generator=generator)
        bn.bias.uniform_(-1, 1, generator=generator)
    bn(x)  # finds the formats
    grad = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    found: list[list[Tensor]] = []
    for together in (True, False):
        bn.zero_grad()
        values = x.clone().requires_grad_()
        y = cast(Tensor, bn(values)) if together else separate(bn, values)
        y.backward(grad)
        gradients = [values.grad, *(parameter.grad for parameter in bn.parameters())]
        found.append([y.detach(), *(gradient for gradient in gradients if gradient is not None)])
    assert len(found[0]) == 6
    for one, several in zip(*found, strict=True):
        torch.testing.assert_close(one, several, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("engine")
def test_running_statistics_are_those_of_torch() -> None:
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 + 5
    bn, counterpart = qnn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    for _ in range(3):
        bn(x)
        counterpart(x)
    torch.testing.assert_close(bn.running_mean, counterpart.running_mean)
    torch.testing.assert_close(bn.running_var, counterpart.running_var)


def test_statistics_far_from_zero() -> None:
    """A mean of 1,000 deviations costs no digits of the variance."""
    x = torch.randn(64, 2, 8, 8, generator=torch.Generator().manual_seed(0)) + 1000
    bn = qnn.BatchNorm2d(2, momentum=None)
    bn(x)
    bn(x)
    torch.testing.assert_close(bn.running_var.double(), x.double().var((0, 2, 3)), rtol=1e-4, atol=0)


@pytest.mark.usefixtures("engine")
def test_eval_computes_the_same_when_watched() -> None:
    """With observers every step is computed by itself; without, normalisation and cast are one."""
    torch.manual_seed(0)
    model, x = resnet8(5)
    model.train()(x)
    model.eval()
    with torch.no_grad():
        together = model(x)
        plan = model.exact_plan([(3, 32, 32)])
        assert plan is not None
        norms = [layer for layer in plan.evaluation().links if isinstance(layer, qnn.BatchNorm2d)]
        paths = {layer: path for path, layer in cast(Iterator[tuple[str, torch.nn.Module]], model.named_modules())}
        values: dict[str, Tensor] = {}
        with observing(lambda layer, suffix, value: values.update({paths[layer] + suffix: value})):
            watched = model(x)
    assert len(norms) == 7 and torch.equal(together, watched)
    assert "stage1.bn1" in values and "stage1.act1" in values
    assert torch.equal(together, model(x))  # with gradients: every step by itself


def test_a_layer_by_itself_and_a_hook_see_values() -> None:
    torch.manual_seed(0)
    model, x = resnet8(2)
    model.train()(x)
    model.eval()
    norm = next(layer for layer in model.modules() if isinstance(layer, qnn.BatchNorm2d))
    seen: list[object] = []
    with torch.no_grad():
        wanted = model(x)
        assert torch.isfinite(norm(torch.zeros(1, 16, 2, 2))).all()
        norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
        assert torch.equal(model(x), wanted)
    assert isinstance(seen[0], Tensor) and seen[0].device.type == "cpu"


def test_a_proved_model_is_calibrated_anew() -> None:
    """Every step is taken by itself while binary points are looked for."""
    torch.manual_seed(0)
    model, x = resnet8(4)
    with torch.no_grad():
        model.eval()(x)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for quantizer in quantizers(model).values():
        with torch.no_grad():
            quantizer.frac.add_(3)
    with torch.no_grad():
        model(x)
    calibrate(model, [x], statistics=False)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
