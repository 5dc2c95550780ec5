"""concat: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qfx.ops import Concat, Sample
from qfx.testing.conformance import check_sample, label, samples_of


class Together(nn.Module):
    """Two or three tensors one after the other."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        return torch.cat(parts, self.axis + 1)


def counterpart(sample: Sample) -> nn.Module:
    """The torch module of a sample."""
    op = sample.op
    assert isinstance(op, Concat)
    return Together(op.axis)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("concat"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
