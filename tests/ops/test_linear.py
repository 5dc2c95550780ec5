"""linear: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import Linear, Sample
from qfx.testing.conformance import bias_of, check_sample, label, samples_of, spec_of, with_constants


def counterpart(sample: Sample) -> nn.Linear:
    """The torch layer of a sample."""
    x, weight = sample.operands[:2]
    op = sample.op
    assert isinstance(op, Linear)
    layer = nn.Linear(
        x.size,
        weight.shape[0],
        bias_of(sample),
        weight=spec_of(weight, op.digits),
    )
    return with_constants(layer, sample)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("linear"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
