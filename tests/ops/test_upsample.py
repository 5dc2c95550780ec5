"""upsample: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest
from torch import nn

from qfx.nn import ConvTranspose2d
from qfx.ops import Sample, Upsample
from qfx.quant import QuantSpec
from qfx.testing.conformance import check_sample, label, samples_of


def counterpart(sample: Sample) -> nn.Module:
    """The torch module of a sample."""
    op = sample.op
    assert isinstance(op, Upsample)
    if not op.zeros:
        return nn.Upsample(scale_factor=op.factor)
    channels = sample.operands[0].channels
    layer = ConvTranspose2d(channels, channels, 1, op.factor, groups=channels, bias=False, weight=QuantSpec(2, frac=0))
    layer.weight.data.fill_(1.0)
    return layer


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("upsample"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners, alone=isinstance(sample.op, Upsample) and not sample.op.zeros)
