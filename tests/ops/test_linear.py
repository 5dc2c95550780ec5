"""linear: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import Linear, Sample
from qfx.testing.conformance import check_sample, label, real_of, samples_of, spec_of


def counterpart(sample: Sample) -> nn.Linear:
    """The torch layer of a sample."""
    x, weight, *rest = sample.operands
    bias = rest[0] if rest else None
    op = sample.op
    assert isinstance(op, Linear)
    layer = nn.Linear(
        x.size,
        weight.shape[0],
        bias is not None and spec_of(bias),
        weight=spec_of(weight, op.digits),
    )
    layer.weight.data.copy_(real_of(sample.operands[1]))
    if bias is not None and layer.bias is not None:
        layer.bias.data.copy_(real_of(bias))
    return layer


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("linear"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
