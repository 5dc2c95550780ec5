"""affine: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import Affine, Sample
from tests.ops.conformance import check_sample, label, real_of, samples_of, spec_of


def twin(sample: Sample) -> nn.BatchNorm1d | nn.BatchNorm2d:
    """The torch layer of a sample."""
    x, scale, offset = sample.operands
    assert isinstance(sample.op, Affine)
    make = nn.BatchNorm2d if len(x.shape) == 3 else nn.BatchNorm1d
    layer = make(x.channels, eps=0.0, scale_spec=spec_of(scale, sample.op.digits), offset_spec=spec_of(offset))
    layer.weight.data.copy_(real_of(scale))
    layer.bias.data.copy_(real_of(offset))
    return layer


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("affine"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, twin, corners)
