"""reshape: the samples through simulator, ONNX Runtime and torch."""

from __future__ import annotations

import pytest
import torch

from qfx.ops import Reshape, Sample
from qfx.testing.conformance import check_sample, label, samples_of


def counterpart(sample: Sample) -> torch.nn.Module:
    """The torch layer of a sample."""
    assert isinstance(sample.op, Reshape)
    return _View(sample.op.shape)


class _View(torch.nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.size(0), *self.shape)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", samples_of("reshape"), ids=label)
def test_engines_agree(sample: Sample, corners: bool) -> None:
    check_sample(sample, counterpart, corners)
