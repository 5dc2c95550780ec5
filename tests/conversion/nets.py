"""Small float networks as people write them, and what the tests of conversion share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import qfx
from qfx.conversion import Converted
from qfx.models import MLP, VGG, MobileNetV1, MobileNetV2, ResNet
from qfx.quant import set_enabled
from qfx.sim import Simulator

MEAN, STD = (0.5, 0.5, 0.4), (0.3, 0.2, 0.2)
FAMILIES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet": (lambda: ResNet((1, 1), 4, 10), (3, 32, 32)),
    "mobilenet_v1": (lambda: MobileNetV1(((8, 1), (12, 2)), 4, 10), (3, 16, 16)),
    "mobilenet_v2": (lambda: MobileNetV2(((1, 4, 1, 1), (3, 6, 2, 2), (3, 6, 1, 1)), 4, 12, 10), (3, 16, 16)),
    "vgg": (lambda: VGG((4, "M", 6, "M"), 12, 10), (3, 16, 16)),
    "mlp": (lambda: MLP((3 * 4 * 4, 16, 12, 10)), (3, 4, 4)),
}


def images(shape: tuple[int, ...], count: int = 8, seed: int = 0) -> Tensor:
    """Raw pixels (count, *shape), uint8."""
    return torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def reals(*shape: int, seed: int = 0) -> Tensor:
    """Normal values (8, *shape)."""
    return torch.randn(8, *shape, generator=torch.Generator().manual_seed(seed))


def uneven(model: nn.Module, seed: int = 1) -> nn.Module:
    """The model with statistics and affine parameters that no initialisation gives, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                ranges = {"running_mean": (-0.3, 0.3), "running_var": (0.3, 2.0), "weight": (0.5, 1.5), "bias": (-0.3, 0.3)}
                tensors: dict[str, Tensor | None] = {name: getattr(norm, name) for name in ranges}
                for name, tensor in tensors.items():
                    if tensor is not None:
                        tensor.uniform_(*ranges[name], generator=generator)
    return model.eval()


def normalised(x: Tensor) -> Tensor:
    """What a float model reads for raw pixels."""
    mean, std = (torch.tensor(entry).view(1, -1, 1, 1) for entry in (MEAN, STD))
    return (x / 255 - mean) / std


def for_images(bits: int = 6, **others: Any) -> qfx.ConvertConfig:
    return qfx.ConvertConfig.bits(bits, input=qfx.InputFormat(MEAN, STD), **others)


def check_exact(model: Converted, *samples: Tensor) -> None:
    """The integer engine computes what the model does in eval."""
    graph = model.lower([tuple(sample.shape[1:]) for sample in samples])
    inputs: dict[str, np.ndarray] = {}
    given: list[Tensor] = []
    for name, sample in zip(graph.inputs, samples, strict=True):
        type = graph.values[name].type
        scaled = sample.to(torch.float64) * (2.0**type.frac if sample.is_floating_point() else 1.0)
        on_grid = scaled.round().clamp(type.min_int, type.max_int)  # what a file of codes can hold
        given.append((on_grid * 2.0**-type.frac).float() if sample.is_floating_point() else sample)
        inputs[name] = on_grid.numpy().astype(np.int64)
    with torch.no_grad():
        found: Any = model(*given)
    codes = Simulator(graph).run(inputs)
    outputs = [found] if isinstance(found, Tensor) else [*found]
    for name, wanted in zip(graph.outputs, outputs, strict=True):
        real = graph.values[name].type.to_real(codes[name])  # of an argmax, (batch, 1)
        np.testing.assert_array_equal(real.reshape(wanted.shape), wanted.to(torch.float64).numpy())


def floats(model: Converted, *samples: Tensor) -> Any:
    """What the model computes with its quantizers off."""
    set_enabled(model, False)
    with torch.no_grad():
        result = model(*samples)
    set_enabled(model, True)
    return result
