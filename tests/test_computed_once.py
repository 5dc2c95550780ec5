"""From a float model to a verified project: how often it is traced, lowered, proved, designed and scheduled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

import qfx
from qfx.export import accelerator
from qfx.export.accelerator import accelerate
from qfx.export.hls import design as planning
from qfx.ir import GraphBuilder, proof
from qfx.models import ResNet
from qfx.project import verify, write_project
from tests.counting import count_calls

COUNTED: tuple[tuple[Any, str], ...] = (
    (fx.Tracer, "trace"),
    (GraphBuilder, "build"),
    (proof, "accumulator_dtype"),
    (accelerator, "design"),
    (planning, "schedule"),
)
"""What is called once by every trace, every lowering or pass, for every node of a proof, by every design and every schedule."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Number of calls by name."""
    return count_calls(monkeypatch, COUNTED)


def test_from_a_float_model_to_a_verified_project(calls: Counter[str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 16, 16)).to(torch.uint8)
    config = qfx.ConvertConfig.bits(4, input=qfx.InputFormat(mean=(0.5,) * 3, std=(0.25,) * 3))
    network = qfx.convert(ResNet((1, 1, 1), 8, 10), images, config).eval()
    graph = network.lower((3, 16, 16))
    project = write_project(accelerate(graph), tmp_path / "project", images.numpy(), network)
    assert calls["trace"] <= 3 and calls["build"] <= 3
    assert calls["accumulator_dtype"] <= 3 * len(graph.nodes)
    assert calls["design"] == calls["schedule"] == 1
    before = calls.copy()
    assert verify(project, ["torch", "sim", "onnx"]).mismatches == 0
    assert all(calls[name] == before[name] for name in ("trace", "design", "schedule")), "verification reads what the project holds"
