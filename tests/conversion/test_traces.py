"""How often a conversion goes through the whole network."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import fx

import qfx
from qfx.ir import GraphBuilder
from qfx.models import ResNet
from tests.conversion.nets import reals
from tests.counting import count_calls

COUNTED: tuple[tuple[Any, str], ...] = ((fx.Tracer, "trace"), (GraphBuilder, "build"))
"""What every trace and every lowering calls once."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Number of calls by name."""
    return count_calls(monkeypatch, COUNTED)


def test_a_conversion_traces_both_networks_once_and_lowers_once(calls: Counter[str]) -> None:
    """The float model and the converted one; what convert proved is still proved when the network runs."""
    torch.manual_seed(0)
    x = reals(3, 32, 32)
    model = qfx.convert(ResNet((1, 1, 1), 8, 10), x)  # eight layers with weights
    assert calls == {"trace": 2, "build": 1}
    with torch.no_grad():
        model(x)
    assert calls == {"trace": 2, "build": 1}
