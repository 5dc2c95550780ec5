"""requantize: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import Requantize, Sample
from qfx.quant import QuantSpec
from qfx.testing.conformance import check_sample, label, samples_of


def counterpart(sample: Sample) -> nn.Quantize:
    """The torch layer of a sample."""
    assert isinstance(sample.op, Requantize)
    return nn.Quantize(QuantSpec.of(sample.op.type, sample.op.rounding, sample.op.overflow))


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("requantize"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
