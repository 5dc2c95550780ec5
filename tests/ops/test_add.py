"""add: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest
from torch import Tensor
from torch.nn import Module

from qfx import nn
from qfx.ops import Add, Sample
from qfx.testing.conformance import check_sample, label, samples_of


class Difference(Module):
    """One tensor less another."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b


def counterpart(sample: Sample) -> Module:
    """The torch layer of a sample."""
    assert isinstance(sample.op, Add)
    return Difference() if sample.op.minus else nn.Add(None, None)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("add"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
