"""avg_pool2d: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import AvgPool2d, Sample
from qfx.testing.conformance import check_sample, label, samples_of


def counterpart(sample: Sample) -> nn.AvgPool2d:
    """The torch layer of a sample."""
    op = sample.op
    assert isinstance(op, AvgPool2d)
    width = 8 if op.reciprocal is None else op.reciprocal.width
    ceil = max(op.extra) > 0
    return nn.AvgPool2d(op.kernel, op.stride, op.padding, ceil, op.include_pad, output=None, reciprocal_width=width)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("avg_pool2d"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
