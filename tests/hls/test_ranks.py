"""Values that are no images: sequences (channel, length), and shapes of four axes between a view and a transpose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from qfx import nn
from qfx.conversion import calibrate
from qfx.errors import ExportError
from qfx.fixed import FixedType
from qfx.ir import Graph, GraphBuilder
from qfx.ops import Requantize, Reshape, Slice
from qfx.quant import QuantSpec
from qfx.testing.projects import write_project
from tests.hls.build import S6, check_graphs

RAW = FixedType(False, 4, 0)


class Sequence(nn.Model):
    """A 1-D network: (3, 16) to 4 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.QuantInput(type=RAW)
        self.conv = nn.Conv1d(3, 6, 3, padding=1, weight=QuantSpec.weights(4))
        self.norm = nn.BatchNorm1d(6)
        self.act = nn.ReLU(output=QuantSpec.activations(4))
        self.pool = nn.MaxPool1d(2)
        self.depthwise = nn.Conv1d(6, 6, 5, groups=6, weight=QuantSpec.weights(4, k_hot=1))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.norm(self.conv(self.input(x)))))
        x = self.depthwise(torch.cat((x[:, 2:5], x[:, :3]), 1)[:, :, 1:7:1])
        return self.head(x[:, :, 1])


class Shuffle(nn.Model):
    """A channel shuffle as it is written in torch, between two convolutions: (6, 3, 4) to (4, 3, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.QuantInput(type=RAW)
        self.first = nn.Conv2d(6, 6, 1, groups=3, weight=QuantSpec.weights(3))
        self.second = nn.Conv2d(6, 4, 1, groups=2, weight=QuantSpec.weights(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.input(x))
        x = x.view(x.size(0), 3, 2, 3, 4).transpose(1, 2).reshape(x.size(0), 6, 3, 4)
        return self.second(x)


def test_sequences_and_shuffles_are_exact_in_cpp(tmp_path: Path) -> None:
    torch.manual_seed(1)
    graphs: dict[str, Graph] = {}
    for model, shape in ((Sequence(), (3, 16)), (Shuffle(), (6, 3, 4))):
        calibrate(model, [torch.randint(0, 16, (32, *shape))])
        name = type(model).__name__.lower()
        graphs[name] = model.eval().lower(shape, name=name)
    assert {len(value.shape) for value in graphs["shuffle"].values.values() if value.constant is None} == {3, 4}
    check_graphs([*graphs.values()], tmp_path)


def test_slices_of_four_axes_are_refused(tmp_path: Path) -> None:
    build = GraphBuilder("deep")
    x = build.add("x4", Reshape((2, 3, 2, 2)), build.input("x", S6, (6, 2, 2)))
    part = build.add("part", Slice((0, 0, 0, 0), (2, 3, 2, 1), (1, 1, 1, 1)), x)
    with pytest.raises(ExportError, match="node 'part': the HLS export slices up to 3 axes, not 4; reshape first"):
        write_project(build.build(build.add("out", Requantize(S6), part)), tmp_path)
