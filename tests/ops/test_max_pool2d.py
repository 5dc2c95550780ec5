"""max_pool2d: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import MaxPool2d, Sample
from qfx.testing.conformance import check_sample, label, samples_of


def counterpart(sample: Sample) -> nn.MaxPool2d:
    """The torch layer of a sample."""
    assert isinstance(sample.op, MaxPool2d)
    op = sample.op
    return nn.MaxPool2d(op.kernel, op.stride, op.padding, op.dilation, ceil_mode=max(op.extra) > 0)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("max_pool2d"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
