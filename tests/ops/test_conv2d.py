"""conv2d: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import Conv2d, Sample
from qfx.testing.conformance import bias_of, check_sample, label, samples_of, spec_of, with_constants


def counterpart(sample: Sample) -> nn.Conv2d:
    """The torch layer of a sample."""
    x, weight = sample.operands[:2]
    op = sample.op
    assert isinstance(op, Conv2d)
    layer = nn.Conv2d(
        x.channels,
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        op.stride,
        op.padding,
        op.dilation,
        op.groups,
        bias_of(sample),
        weight=spec_of(weight, op.digits),
        extra=op.extra,
    )
    return with_constants(layer, sample)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("conv2d"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
