"""add: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx import nn
from qfx.ops import Add, Sample
from tests.ops.conformance import check_sample, label, samples_of


def twin(sample: Sample) -> nn.Add:
    """The torch layer of a sample."""
    assert isinstance(sample.op, Add)
    return nn.Add(None, None)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("add"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, twin, corners)
