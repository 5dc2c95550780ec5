"""The fuzzer: goes on where it stopped, finds what is planted, makes it small and keeps it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fuzz
from qfx.errors import ExportError
from qfx.fixed import IntArray
from qfx.ir import Value
from qfx.ops import OPS
from qfx.project import open_project
from qfx.sim.chain import Chain


def run(tmp_path: Path, *more: str) -> tuple[int, dict[str, object]]:
    arguments = ["--csim", "0", "--out", str(tmp_path / "out"), "--json", str(tmp_path / "fuzz.json"), *more]
    code = fuzz.main(arguments)
    return code, json.loads((tmp_path / "fuzz.json").read_text())


def test_it_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "results.jsonl"
    code, first = run(tmp_path, "--networks", "6", "--resume", str(file))
    assert code == 0 and len(file.read_text().splitlines()) == 6
    ran: list[int] = []
    right = fuzz.run_network

    def counted(seed: int, out: Path) -> fuzz.Result:
        ran.append(seed)
        return right(seed, out)

    monkeypatch.setattr(fuzz, "run_network", counted)
    assert run(tmp_path, "--networks", "6", "--resume", str(file)) == (0, first) and ran == []
    assert run(tmp_path, "--networks", "8", "--resume", str(file))[0] == 0 and ran == [6, 7]
    assert [row["networks"] for row in first["rows"]] == [3, 3]  # type: ignore[index,union-attr]


def test_a_difference_is_found_made_small_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(self: object, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        return np.maximum(arrays[0], 1)

    monkeypatch.setattr(OPS["relu"], "evaluate", wrong)
    monkeypatch.delitem(Chain.PLANS, OPS["relu"])  # so that evaluate computes outputs, too
    code, document = run(tmp_path, "--networks", "60")
    assert code == 1 and document["targets"][0]["value"] > 0  # type: ignore[index]
    assert "first mismatch: layer" in capsys.readouterr().out
    kept = [open_project(path).graph for path in (tmp_path / "out").iterdir()]
    assert kept and min(len(graph.nodes) for graph in kept) == 1
    assert all(
        "relu" in {node.op.kind for node in graph.nodes[-2:]} for graph in kept
    )  # its reader, where relu itself is an output


def test_crashes_count_and_refusals_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    def refuse(*_: object, **__: object) -> None:
        raise ExportError("node 'a': the HLS export has no kernel for b")

    monkeypatch.setattr(fuzz, "compare", crash)
    assert fuzz.run_network(3, tmp_path).failed == "ZeroDivisionError: by nothing"
    monkeypatch.setattr(fuzz, "compare", refuse)
    assert fuzz.run_network(3, tmp_path).refused == "ExportError: node 'a': the HLS export has no kernel for b"
    monkeypatch.setattr(fuzz, "compare_compiled", refuse)
    compiled = fuzz.run_compiled(fuzz.Result(3, "graph"), tmp_path)
    assert compiled.no_csim.endswith("has no kernel for b") and not compiled.failed and compiled.csim is None
    monkeypatch.setattr(fuzz, "compare_compiled", crash)
    assert fuzz.run_compiled(fuzz.Result(3, "graph"), tmp_path).failed == "ZeroDivisionError: by nothing"
