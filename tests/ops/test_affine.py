"""affine: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import Affine, Sample
from qfx.testing.conformance import Function, check_sample, label, real_of, samples_of, spec_of


def counterpart(sample: Sample) -> nn.BatchNorm1d | nn.BatchNorm2d | Function:
    """The torch layer of a sample; numbers where one scale serves all channels."""
    x, scale, offset = sample.operands
    assert isinstance(sample.op, Affine)
    if scale.shape == (1,) != (x.channels,):
        factor, added = float(real_of(scale)), float(real_of(offset))
        return Function(lambda x: added - x if factor == -1 else x * factor + added)
    make = nn.BatchNorm2d if len(x.shape) == 3 else nn.BatchNorm1d
    layer = make(x.channels, eps=0.0, scale=spec_of(scale, sample.op.digits), offset=spec_of(offset))
    layer.weight.data.copy_(real_of(scale))
    layer.bias.data.copy_(real_of(offset))
    return layer


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("affine"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners, alone=sample.label != "one scale and offset")  # a product and a sum in torch
