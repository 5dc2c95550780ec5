"""pad: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest
from torch import nn

from qfx.ops import Pad, Sample
from qfx.testing.conformance import check_sample, label, samples_of


def counterpart(sample: Sample) -> nn.Module:
    """The torch module of a sample."""
    op = sample.op
    assert isinstance(op, Pad)
    (above, left), (below, right) = op.before, op.after
    return nn.ConstantPad2d((left, right, above, below), op.code * 2.0 ** -sample.operands[0].type.frac)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("pad"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
