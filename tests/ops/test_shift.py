"""shift: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest

from qfx.ops import Sample, Shift
from qfx.testing.conformance import Function, check_sample, label, samples_of


def counterpart(sample: Sample) -> Function:
    """The torch layer of a sample."""
    assert isinstance(sample.op, Shift)
    factor = 2.0**sample.op.power
    return Function(lambda x: x * factor)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("shift"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
