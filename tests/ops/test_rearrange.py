"""rearrange: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest
from torch import nn

from qfx.ops import Rearrange, Sample
from qfx.testing.conformance import Function, check_sample, label, samples_of


def counterpart(sample: Sample) -> nn.Module:
    """The torch module of a sample."""
    op = sample.op
    assert isinstance(op, Rearrange)
    axes = [0, *(axis + 1 for axis in op.order)]
    modules = {
        "pixel shuffle by 2": nn.PixelShuffle(2),
        "channel shuffle, 3 groups": nn.ChannelShuffle(3),
        "height and width swapped": Function(lambda x: x.transpose(2, 3)),
    }
    by_hand = Function(lambda x: x.reshape(-1, *op.dims).permute(axes).reshape(-1, *op.shape))
    return modules.get(sample.label, by_hand)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("rearrange"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(
        sample, counterpart, corners, alone=not isinstance(counterpart(sample), Function) or len(sample.operands[0].shape) == 3
    )
