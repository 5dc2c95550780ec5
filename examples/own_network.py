"""Your own network, from torch to compiled C++: `python examples/own_network.py [directory]`.

An awkward one on purpose: a 3 x 11 x 7 input, kernels that are not square, stride 2, a dilated and a depthwise
convolution, two shortcuts with different binary points, every kind of pooling, batch normalisation before and after flattening. The
weights are random: exactness does not depend on training.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qfx import nn
from qfx.conversion import calibrate
from qfx.project import verify, write_project
from qfx.quant import QuantSpec

W3, W6_2HOT = QuantSpec.weights(3), QuantSpec.weights(6, k_hot=2)
A4, S5 = QuantSpec.activations(4), QuantSpec.activations(5, signed=True)
INPUT_SHAPE = (3, 11, 7)


class Shortcut(nn.Model):
    """A depthwise and a pointwise convolution beside a shortcut."""

    def __init__(self, channels: int, weights: QuantSpec) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), groups=channels, bias=False, weight=weights)
        self.bn = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(output=A4)
        self.pointwise = nn.Conv2d(channels, channels, 1, weight=QuantSpec.weights(4, per_channel=True))
        self.add = nn.Add(S5, QuantSpec.activations(6, signed=True))
        self.prelu = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(self.add(self.pointwise(self.act(self.bn(self.depthwise(x)))), x))


class OwnNetwork(nn.Model):
    """3 x 11 x 7 pixels to 5 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.QuantInput(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
        self.stem = nn.Conv2d(3, 10, (3, 5), stride=(2, 1), padding=(0, 2), weight=W6_2HOT)
        self.norm = nn.BatchNorm2d(10, scale=QuantSpec.weights(8, k_hot=2))
        self.act = nn.ReLU(output=A4)
        self.first = Shortcut(10, W3)
        self.peak = nn.MaxPool2d((2, 3), stride=1, padding=(1, 0))
        self.second = Shortcut(10, W6_2HOT)
        self.wide = nn.Conv2d(10, 6, 3, stride=2, padding=2, dilation=2, groups=2, bias=False, weight=W3)
        self.mean = nn.AvgPool2d((3, 1), stride=1, padding=(1, 0), output=S5)
        self.flat = nn.Flatten()
        self.hidden = nn.Linear(6 * 3 * 3, 7, weight=W3)
        self.hidden_norm = nn.BatchNorm1d(7)
        self.hidden_act = nn.PReLU(7)
        self.head = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(self.input(x))))
        x = self.second(self.peak(self.first(x)))
        x = self.flat(self.mean(self.wide(x)))
        return self.head(self.hidden_act(self.hidden_norm(self.hidden(x))))


def prepared(seed: int = 0) -> tuple[OwnNetwork, np.ndarray]:
    """The calibrated network with uneven statistics, and 100 random images (100, 3, 11, 7), uint8."""
    torch.manual_seed(seed)
    images = np.random.default_rng(seed).integers(0, 256, (100, *INPUT_SHAPE)).astype(np.uint8)
    model = OwnNetwork()
    calibrate(model, [torch.from_numpy(images)])
    model.train()
    for _ in range(20):  # running statistics of the batch normalisations
        model(torch.from_numpy(images))
    calibrate(model, [torch.from_numpy(images)])
    return model.eval(), images


def main() -> None:
    """Export, then verify all engines on 100 images."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "out/own_network")
    directory.parent.mkdir(parents=True, exist_ok=True)
    model, images = prepared()
    graph = model.lower(INPUT_SHAPE, name="own_network")
    print(graph.text())
    report = verify(write_project(graph, directory, images, model=model, overwrite=True), model=model)
    print(f"{', '.join(report.engines)}: {report.values_compared} values compared, {report.mismatches} mismatches")


if __name__ == "__main__":
    main()
