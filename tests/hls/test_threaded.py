"""The C++ with a thread per stage: values, deadlocks, and the schedule's model against what the threads do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qfx.errors import ProjectError
from qfx.export.fold import Search
from qfx.export.hls.board import load_board
from qfx.export.hls.design import Design, design
from qfx.export.hls.folding import Fold
from qfx.export.schedule import Network, deadlock
from qfx.fixed import IntArray
from qfx.ir import Graph, GraphBuilder
from qfx.models import ResNet8
from qfx.ops import Add, ReLU, Requantize
from qfx.project import open_project, verify
from qfx.project import write_project as write_whole_project
from qfx.sim.threaded import Deadlock, ThreadedSimulator, live_depths
from qfx.testing.branches import branching
from qfx.testing.choices import Seeded
from qfx.testing.differential import network, together
from qfx.testing.graphs import random_inputs
from qfx.testing.iterations import COVERAGE, Counts, counted, stage_key
from qfx.testing.projects import frames, random_folding, write_project
from tests.hls.build import S6, U4, assert_equal, chain, gate, rows, several_ports, small_network
from tests.hls.test_folding import convolutions, pixel_folding, several_pixels, tap_choices
from tests.hls.test_new_kernels import joins, unaligned, wide
from tests.networks import residual_network
from tests.test_models import ready

FRAMES = 4
GRAPHS = (small_network, joins, unaligned, wide, rows, several_ports, residual_network, convolutions, several_pixels)


def check(graph: Graph, folder: Path, seed: int = 0, folding: dict[str, Fold] | None = None) -> ThreadedSimulator:
    """Everything that the schedule says of a network, against its compiled C++.

    Values at the least depths and at those of the C++; the order in which each stage reads and writes; the iterations of each
    stage; that one place fewer in any stream stops execution, with the cycle that the model names.
    """
    plan = design(graph, folding)
    project = write_project(graph, folder, folding=plan.wiring.folding)
    engine = ThreadedSimulator(project, optimize="-O0", flags=COVERAGE)
    model = plan.network
    inputs = given(graph, FRAMES, seed)
    assert_equal(graph, engine.run(inputs), inputs)
    live = live_depths(engine.hls)
    assert live.keys() == engine.stated.keys()
    assert all(engine.stated[stream] >= depth + 2 for stream, depth in live.items())
    engine.depths = live
    assert_equal(graph, engine.run(inputs), inputs)
    assert engine.order(inputs) == dict(zip(engine.stages, order(model), strict=True))
    check_iterations(graph, engine, plan)
    for stream in live:
        if live[stream] > 1:
            check_one_place_fewer(engine, model, live, stream, inputs)
    engine.depths = live
    return engine


def given(graph: Graph, count: int, seed: int = 0) -> dict[str, IntArray]:
    if len(graph.inputs) > 1:
        return frames(graph, count)
    return {graph.inputs[0]: random_inputs(graph, count, seed)}


def check_iterations(graph: Graph, engine: ThreadedSimulator, plan: Design) -> None:
    """What one more frame adds, so that what is done once per start does not count: as the kernels say."""
    program = engine.compile()
    counted(program)
    counts: list[Counts] = []
    for count in (2, 3):
        engine.run(given(graph, count))
        counts.append(counted(program))
    wanted = Counts()
    for stage in plan.stages:
        wanted[stage_key(stage)] += stage.kernel.iterations
    assert counts[1] - counts[0] == wanted
    cycles = {stage.name: stage.kernel.iterations for stage in plan.stages}
    assert plan.schedule.cycles == cycles and plan.schedule.interval == max(cycles.values())


def check_one_place_fewer(
    engine: ThreadedSimulator, model: Network, live: dict[str, int], stream: str, inputs: dict[str, IntArray]
) -> None:
    engine.depths = {**live, stream: live[stream] - 1}
    with pytest.raises(Deadlock) as found:
        engine.run(inputs)
    expected = {(waiting.stream, waiting.why, waiting.words) for waiting in deadlock(model, engine.depths, FRAMES)}
    assert {(stuck.stream, stuck.why, stuck.words) for stuck in found.value.cycle} == expected
    assert (stream, "full", live[stream] - 1) in expected


def order(model: Network) -> list[list[tuple[str, str]]]:
    """Reads and writes of every stage, one after the other, as its kernel states them."""
    result: list[list[tuple[str, str]]] = []
    for pattern in model.patterns(FRAMES).values():
        sides = [("read", pattern.reads), ("write", pattern.writes)]
        ops = [(what, stream, at) for what, streams in sides for stream, at in streams.items()]
        steps = sorted((step, number) for number, (_, _, at) in enumerate(ops) for step in at.tolist())
        result.append([ops[number][:2] for _, number in steps])
    return result


def all_taps(graph: Graph) -> dict[str, Fold]:
    """Two channels at a time, all kernel positions at once."""
    return {node.name: Fold((2,), 2, max(tap_choices(graph, node))) for node in graph.nodes}


def test_every_kernel_folded(tmp_path: Path) -> None:
    graph = small_network()
    check(graph, tmp_path, folding=random_folding(graph, Seeded(4)))


def test_windows_of_all_taps(tmp_path: Path) -> None:
    graph = convolutions()
    check(graph, tmp_path, folding=all_taps(graph))


def test_several_pixels_at_once(tmp_path: Path) -> None:
    graph = several_pixels()
    check(graph, tmp_path, folding=pixel_folding(graph, 4))


@pytest.mark.full
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.__name__)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_more_networks(graph: Callable[[], Graph], seed: int | None, tmp_path: Path) -> None:
    check(graph(), tmp_path, folding=None if seed is None else random_folding(graph(), Seeded(seed)))


def test_random_networks(tmp_path: Path) -> None:
    """Several as one program, and one in which words wait in many places."""
    graph = together([network(seed)[0] for seed in (3, 26)])
    check(graph, tmp_path / "together", folding=random_folding(graph, Seeded(1)))
    engine = check(branching(57), tmp_path / "branches")
    assert sum(depth > 1 for depth in engine.depths.values()) == 7


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_random_networks(seed: int, tmp_path: Path) -> None:
    for number, graph in enumerate((network(seed)[0], branching(seed))):
        check(graph, tmp_path / f"plain{number}", seed)
        check(graph, tmp_path / f"folded{number}", seed, random_folding(graph, Seeded(seed)))


@pytest.mark.full
def test_a_folded_resnet(tmp_path: Path) -> None:
    """ResNet-8 as fast as an Ultra96 can hold it: values at the stated and at the least depths, and deadlocks below these."""
    graph = ready(ResNet8())
    folding = Search(graph, load_board("ultra96")).fastest().folding
    engine = ThreadedSimulator(write_project(graph, tmp_path, folding=folding))
    model, inputs = design(graph, folding).network, frames(graph, 2)
    live = live_depths(engine.hls)
    assert {stream for stream, depth in live.items() if depth > 1} == {
        *("act_quant_copy1", "stage1_act2_quant_copy1", "stage2_act2_quant_copy1")
    }
    for depths in (engine.stated, live):
        engine.depths = depths
        assert_equal(graph, engine.run(inputs), inputs)
    for stream in (stream for stream, depth in live.items() if depth > 1):
        check_one_place_fewer(engine, model, live, stream, inputs)


def test_deadlock(tmp_path: Path) -> None:
    """The message names those that wait for each other, not those that wait for them."""
    engine = check(gate(), tmp_path)
    engine.depths = {**engine.stated, "x_rest0": 5}
    with pytest.raises(Deadlock, match="stands still at these depths, 11 stages wait, these for each other") as found:
        engine.run(given(gate(), 1))
    text = str(found.value)
    assert "\n  fork<value::x>(x, x_copy0, x_rest0) waits for x_rest0, which is full (5 words)" in text
    assert "\n  avg_pool2d<layer::mean>(mean_windows, mean) waits for mean_windows, which is empty (0 words)" in text
    assert "axi_in" not in text and len(found.value.waiting) == 11


def test_edits_of_the_top_are_judged(tmp_path: Path) -> None:
    """The C++ runs as it lies."""
    build = GraphBuilder("twice")
    x = build.input("x", U4, (3,))
    project = write_project(build.build(build.add("sum", Add(), x, build.add("same", Requantize(S6), x))), tmp_path)
    top = project / "hls" / "twice.cpp"
    text = re.sub(r"(variable=x_copy1 depth=)\d+", r"\g<1>77", top.read_text()).replace("(x_copy0, same,", "(x_copy0, x,")
    top.write_text(text.replace("(x_copy0, sum", "(same, sum").replace("(x_copy0, x,", "(x_copy1, same,"))
    engine = ThreadedSimulator(project, optimize="-O0")
    assert engine.stated["x_copy1"] == 77
    with pytest.raises(ProjectError, match="stream 'x_copy1' is read by two stages"):
        engine.run({"x": np.zeros((1, 3), np.int64)})


def test_a_crash_names_the_stage(tmp_path: Path) -> None:
    project = write_project(chain("net", GraphBuilder("net").input("x", S6, (2,)), (ReLU(), []), (Requantize(U4), [])), tmp_path)
    kernel = project / "hls/kernels/requantize.hpp"
    word = "typename L::out::word y_word = 0;"
    kernel.write_text(kernel.read_text().replace(word, f"{word}\n            __builtin_trap();"))
    with pytest.raises(ProjectError, match=r"threaded execution of .* crashed \(SIG(ILL|TRAP)\): after stream 'step0' was used"):
        ThreadedSimulator(project, optimize="-O0").run({"x": np.zeros((1, 2), np.int64)})


def test_a_project_without_live_depths(tmp_path: Path) -> None:
    layout: dict[str, Any] = {"format": 2, "top": "net", "frame_words": 1, "values": {}}
    (tmp_path / "layout.json").write_text(json.dumps(layout))
    with pytest.raises(ProjectError, match=r"layout.json has no deadlock-free depths of the streams; export the project again"):
        live_depths(tmp_path)


def test_engines_of_verify(tmp_path: Path) -> None:
    graph = residual_network()
    write_whole_project(graph, tmp_path / "project", random_inputs(graph, 3, 1))
    report = verify(open_project(tmp_path / "project"), ["sim", "threads", "live"], cache=tmp_path / "cache")
    assert (report.engines, report.mismatches) == (("sim", "threads", "live"), 0)
