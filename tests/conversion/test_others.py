"""Other shapes of networks: shortcuts before the normalisation, dense and parallel branches, gates, images made larger."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import qfx
from tests.conversion.nets import MEAN, STD, check_exact, floats, for_images, images, normalised, uneven

SHAPE = (3, 16, 16)


class PreActivation(nn.Module):
    """Normalisation and ReLU before each convolution; the sum goes on as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(4))
        self.convs = nn.ModuleList(nn.Conv2d(6, 6, 3, padding=1, bias=False) for _ in range(4))
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for index in (0, 2):
            y = self.convs[index](F.relu(self.norms[index](x)))
            x = x + self.convs[index + 1](F.relu(self.norms[index + 1](y)))
        return self.fc(F.relu(x).mean((2, 3)))


class Dense(nn.Module):
    """Each convolution reads all results before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4 + 3 * index) for index in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(4 + 3 * index, 3, 3, padding=1) for index in range(3))
        self.down = nn.Sequential(nn.Conv2d(13, 6, 1), nn.AvgPool2d(2, 2))
        self.fc = nn.Linear(6 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)))))
        x = self.down(torch.cat(features, 1))
        return self.fc(x.flatten(1))


class Parallel(nn.Module):
    """Branches of several kernels, side by side; a second head in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.three = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.pool, self.proj = nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 4, 1)
        self.head, self.second = nn.Conv2d(12, 4, 1), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = torch.cat((self.one(x).relu(), self.three(x).relu(), self.proj(self.pool(x)).relu()), dim=1)
        result = F.adaptive_avg_pool2d(self.head(x), 1).squeeze(3).squeeze(2)
        return (result, self.second(x.mean((2, 3)))) if self.training else result


class Gated(nn.Module):
    """Squeeze and excitation, with the activations of MobileNetV3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.act = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish(inplace=True)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.gate = nn.Hardsigmoid()
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(x)))
        scale = self.gate(self.fc2(F.relu(self.fc1(self.squeeze(x)))))
        return self.last(scale * x).mean((2, 3))


class Shaped(nn.Module):
    """Down and up again, with a branch across; a result for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.mid = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.last = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        down = F.leaky_relu(self.down(x), 0.1)
        x = F.leaky_relu(self.mid(F.max_pool2d(down, 2)), 0.1)
        x = torch.cat([down, self.up(x)], 1)
        return self.last(F.interpolate(x, scale_factor=2))


@pytest.mark.parametrize("make", [PreActivation, Dense, Parallel, Gated, Shaped])
def test_a_network(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model, x = uneven(make()), images(SHAPE, 4)
    with torch.no_grad():
        wanted = model(normalised(x))
    network = qfx.convert(model, x, for_images(6, statistics=False))
    check_exact(network, x)
    torch.testing.assert_close(floats(network, x), wanted, rtol=1e-4, atol=1e-4)


def test_ends_have_no_weights_before_or_behind_them() -> None:
    """In a network that ends in a sum, or has branches at its input, too."""

    class Ends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
            self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.left(x)) + F.relu(self.right(x))
            for block in self.blocks:
                x = x + block(x)
            return x

    graph = qfx.convert(Ends(), images(SHAPE, 4), for_images(3)).lower(SHAPE)
    widths = {name.removesuffix(".weight"): value.type.width for name, value in graph.values.items() if name.endswith(".weight")}
    assert widths == {"left": 8, "right": 8, "blocks.0": 3, "blocks.1": 3, "blocks.2": 8}


@pytest.mark.parametrize("make", [PreActivation, Gated])
def test_more_bits_come_closer(make: Callable[[], nn.Module]) -> None:
    """An end-to-end check of where casts and binary points lie: the error of the logits falls with every bit."""
    torch.manual_seed(0)
    model, x = uneven(make()), images(SHAPE, 32)
    with torch.no_grad():
        wanted = model(normalised(x))
    errors: list[float] = []
    for bits in (8, 10, 12):
        given = qfx.InputFormat(MEAN, STD, width=bits)
        config = qfx.ConvertConfig(weights=bits, activations=bits, first_last=bits, constants=bits, pool=bits, input=given)
        with torch.no_grad():
            found = qfx.convert(model, x, config)(x)
        errors.append(float((found - wanted).norm() / wanted.norm()))
    assert errors[0] < 0.05 and errors[1] < 0.01 and errors[2] < 0.002, errors
