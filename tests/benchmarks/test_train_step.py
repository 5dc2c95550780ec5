"""The training step's benchmark: what is promised, its rows, and what happens without a peer."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks._targets import missed
from qfx.errors import ToolMissingError

FOLDER = Path(__file__).parents[2] / "benchmarks"
EVAL = {("eval", "kernel"): 1.3, ("eval", "eager"): 2.0}
ADDED = {("what K=2 adds", "kernel"): 0.05, ("what K=2 adds", "eager"): 0.06}
FOUND: dict[tuple[str, str], float] = {**EVAL, **ADDED, ("Brevitas", ""): 2.6} | {
    (name, engine): ratio
    for engine in ("kernel", "eager")
    for name, ratio in (("weights+activations", 1.3), ("everything", 1.5), ("everything, K=2", 1.55))
}


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))  # as for a script, which finds its neighbours by their bare names
    return importlib.import_module("train_step")


@pytest.fixture
def no_brevitas(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    load = importlib.import_module

    def without(name: str, package: str | None = None) -> ModuleType:
        if name.startswith("brevitas"):
            raise ImportError("No module named 'brevitas'")
        return load(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    yield


def test_promises(step: Any) -> None:
    found = step.targets("net", FOUND)
    values = {entry["name"]: entry["value"] for entry in found}
    assert values["net: what K=2 adds, kernel"] == pytest.approx(0.05)
    assert values["net: Brevitas over weights+activations, kernel"] == 2.0
    assert missed(found) == ["net: everything, kernel, of float"] and len(found) == 12


def test_ratios_are_of_the_same_round(step: Any) -> None:
    arms = [step.Arm("float", "", nn.Identity), step.Arm("a", "kernel", nn.Identity)]
    times = {"float": iter([*[9.0] * step.WARM_UP, 1.0, 10.0, 100.0]), "a": iter([*[1.0] * step.WARM_UP, 2.0, 30.0, 200.0])}
    for arm in arms:
        arm.time = times[arm.name].__next__
    assert step.measure(arms, 3) == {("a", "kernel"): 2.0}
    table = step.rows(step.NETWORKS[0], arms, {("a", "kernel"): 2.0}, "step")
    assert [(row["arm"], row["median_ms"], row["min_ms"], row["ratio"]) for row in table] == [
        ("float", 10_000.0, 1000.0, 1.0),
        ("a", 30_000.0, 2000.0, 2.0),
    ]


def test_what_two_hot_weights_add_is_of_the_same_round(step: Any) -> None:
    """In units of the float step; here the medians of the arms themselves would say 10."""
    seconds = {"everything": [20.0, 200.0, 2.0], "everything, K=2": [30.0, 190.0, 3.0]}
    arms = [step.Arm("float", "", nn.Identity, [10.0, 100.0, 1.0])]
    arms += [step.Arm(name, engine, nn.Identity, times) for name, times in seconds.items() for engine in step.ENGINES]
    assert step.added(arms) == {("what K=2 adds", "kernel"): 1.0, ("what K=2 adds", "eager"): 1.0}


def test_a_missing_peer(step: Any, no_brevitas: None) -> None:
    with pytest.raises(ToolMissingError, match=r"needs Brevitas \(No module named 'brevitas'\); run make bench-env"):
        sys.modules["_train_peers"].brevitas(nn.Identity())


def test_all_together(step: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = {"network": "n", "what": "step", "arm": "a", "engine": "", "median_ms": 1.0, "min_ms": 1.0, "ratio": 1.0}

    def run(network: Any, rounds: int) -> object:
        return [row], step.targets(network.name, FOUND)

    monkeypatch.setattr(step, "run", run)
    threads = torch.get_num_threads()
    try:
        code = step.main(["--json", str(tmp_path / "x.json")])
    finally:
        torch.set_num_threads(threads)
    assert code == 1
    written = json.loads((tmp_path / "x.json").read_text())
    assert len(written["rows"]) == 2 and len(written["targets"]) == 24 and written["threads"] == 1
