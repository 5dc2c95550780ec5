"""prelu: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import PReLU, Sample
from qfx.testing.conformance import check_sample, label, samples_of, spec_of, with_constants


def counterpart(sample: Sample) -> nn.PReLU:
    """The torch layer of a sample."""
    x, slope = sample.operands
    assert isinstance(sample.op, PReLU)
    return with_constants(nn.PReLU(x.channels, slope=spec_of(slope, sample.op.digits), input=None, output=None), sample)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("prelu"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
