"""multiply: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qfx.ops import Multiply, Sample
from qfx.testing.conformance import check_sample, label, samples_of


class Product(nn.Module):
    """The product of two tensors."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a * b


def counterpart(sample: Sample) -> nn.Module:
    """The torch module of a sample."""
    op = sample.op
    assert isinstance(op, Multiply)
    return Product()


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("multiply"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
