"""clamp: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest
from torch import nn

from qfx.ops import Clamp, Sample
from qfx.testing.conformance import Function, check_sample, label, samples_of


def counterpart(sample: Sample) -> nn.Module:
    """The torch module of a sample."""
    op = sample.op
    assert isinstance(op, Clamp)
    bounds = [None if code is None else code * 2.0**-op.frac for code in (op.low, op.high)]
    return Function(lambda x: x.clamp(*bounds))


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("clamp"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
