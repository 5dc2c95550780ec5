"""relu: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import ReLU, Sample
from qfx.testing.conformance import check_sample, label, samples_of


def counterpart(sample: Sample) -> nn.ReLU:
    """The torch layer of a sample."""
    assert isinstance(sample.op, ReLU)
    return nn.ReLU(output=None)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("relu"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
