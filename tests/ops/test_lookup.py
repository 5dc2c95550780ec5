"""lookup: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qfx import ops
from qfx.nn import Lookup
from qfx.ops import Sample
from qfx.quant import QuantSpec
from qfx.testing.conformance import check_sample, label, samples_of


def counterpart(sample: Sample) -> nn.Module:
    """The torch module of a sample."""
    op = sample.op
    assert isinstance(op, ops.Lookup)
    x, table = sample.operands

    def function(points: torch.Tensor) -> torch.Tensor:
        index = (points * 2.0**x.type.frac).to(torch.int64) - x.type.min_int
        return torch.from_numpy(table.type.to_real(table.codes))[index]

    return Lookup(function, QuantSpec.of(x.type), QuantSpec.of(table.type), name=op.function)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("lookup"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
