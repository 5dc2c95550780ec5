"""argmax: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest
from torch import nn

from qfx.ops import ArgMax, Sample
from qfx.testing.conformance import Function, check_sample, label, samples_of


def counterpart(sample: Sample) -> nn.Module:
    """The torch module of a sample."""
    op = sample.op
    assert isinstance(op, ArgMax)
    return Function(lambda x: x.argmax(1))


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("argmax"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
