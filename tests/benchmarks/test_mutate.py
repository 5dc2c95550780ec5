"""The mutants: every kind is made, the right layers are known, and one of each result."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import mutate
from benchmarks._targets import missed
from benchmarks.mutate import Mutant, Verdict, choose, function_users, judge, mutants, networks, targets
from qfx.testing.projects import write_project

GRAPH = networks()["khot"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(GRAPH, tmp_path_factory.mktemp("mutants") / "khot")


def test_layers_that_run_a_kernel(project: Path) -> None:
    users = function_users(project / "hls")
    assert users["relu"] == {"relu_v"} and users["requantize_code"] == {"cast", "recast"}
    assert users["sliding_window"] == {"deep", "mean"} and users["multiply_khot"] == {"deep", "bn", "point"}
    assert users["unpack"] >= {"deep", "cast", "bn", "relu_v", "recast", "mean", "point"} and "conv2d_grouped_khot" not in users


def test_what_is_changed(project: Path) -> None:
    found = list(mutants("khot", project / "hls"))
    assert {mutant.kind for mutant in found} == {"table", "setting", "mode", "kernel"}
    assert all(mutant.before != mutant.after and mutant.layers for mutant in found)
    tables = {next(iter(mutant.layers)) for mutant in found if mutant.kind == "table"}
    assert tables == {"deep", "bn", "point"}
    chosen = choose(found, 40, 1)
    assert chosen == choose(found, 40, 1) != choose(found, 40, 2) and len(set(chosen)) == 40
    assert all(sum(mutant.kind == kind for mutant in chosen) >= 2 for kind in ("table", "setting", "mode", "kernel"))


def planted(project: Path, file: str, before: str, after: str, *layers: str) -> Mutant:
    lines = (project / "hls" / file).read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if before in line)
    return Mutant("khot", "kernel", file, number, lines[number], lines[number].replace(before, after, 1), frozenset(layers))


def test_results(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = "code > 0"
    equivalent = planted(project, "kernels/relu.hpp", before, "code >= 0", "relu_v")  # both are max(code, 0)
    with monkeypatch.context() as patch:
        patch.setattr(mutate, "EQUIVALENT", [])
        assert judge(equivalent, GRAPH, project).result == "missed"
    assert judge(equivalent, GRAPH, project) == Verdict(equivalent, "equivalent", "the code 0 gives 0 on either branch")
    same = planted(project, "kernels/relu.hpp", "++position", "position += 1", "relu_v")
    assert judge(same, GRAPH, project).note == "the optimized program is the same, byte for byte"
    apart = planted(project, "layers.hpp", "READS = 8;", "READS = 9;", "deep")
    assert judge(apart, GRAPH, project) == Verdict(
        apart, "asserted", "READS words are STRIDE_ROWS rows, or an equal share of a frame"
    )
    other = planted(project, "layers.hpp", "READS = 8;", "READS = 9;", "mean")
    assert judge(other, GRAPH, project).result == "wrong layer"
    stopped = planted(project, "kernels/requantize.hpp", "position < L::in::WORDS", "position <= L::in::WORDS", "cast", "recast")
    verdict = judge(stopped, GRAPH, project)
    assert verdict.result == "stream" and "requantize<layer::cast> reads more than the 16 of a frame" in verdict.note
    found = planted(project, "kernels/relu.hpp", before, "code != 0", "relu_v")
    assert judge(found, GRAPH, project) == Verdict(found, "found", "relu")
    broken = planted(project, "kernels/relu.hpp", before, "code >", "relu_v")
    assert judge(broken, GRAPH, project).result == "not compiled"


def test_a_rule_for_one_more() -> None:
    def changed(value: int) -> Mutant:
        return Mutant(
            "khot", "setting", "layers.hpp", 1, "    static const unsigned LINES = 6;", f"    LINES = {value};", frozenset({"mean"})
        )

    rule = next(rule for rule in mutate.EQUIVALENT if rule.one_more)
    assert rule.holds(changed(7)) and not rule.holds(changed(5)) and not rule.holds(changed(8))


def test_targets(project: Path) -> None:
    mutant = planted(project, "kernels/relu.hpp", "0", "1", "relu")
    good, bad = [Verdict(mutant, "found", "relu")] * 5, [Verdict(mutant, "wrong layer", "bn"), Verdict(mutant, "missed", "")]
    assert missed(targets(good, 10)) == []
    assert missed(targets(bad, 10)) == [
        "mutants that nothing found",
        "mutants found in a wrong layer",
        "mutants found, the right layer named",
    ]
