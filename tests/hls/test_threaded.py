"""The C++ with a thread per stage: values, deadlocks, and the schedule's model against what the threads do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qfx.errors import ProjectError
from qfx.export.hls.emit import design
from qfx.export.hls.patterns import design_network
from qfx.export.schedule import Network, deadlock
from qfx.ir import Graph, GraphBuilder
from qfx.ops import AvgPool2d, Concat, Multiply, Requantize, Upsample
from qfx.sim.threaded import Deadlock, ThreadedSimulator, live_depths
from tests.differential import network
from tests.hls.build import U4, assert_equal, frames, several_ports, small_network, write_project
from tests.networks import residual_network
from tests.random_networks import random_inputs

FRAMES = 4


def gate() -> Graph:
    """`x` times a factor that is known after the whole frame, joined with `x` and an enlarged copy of a part of it."""
    build = GraphBuilder("gate")
    x = build.input("x", U4, (4, 4, 4))
    factor = build.add("factor", Requantize(U4), build.add("mean", AvgPool2d((4, 4), (4, 4)), x))
    gated = build.add("gated", Multiply(), x, factor)
    whole = build.add("whole", Upsample((4, 4)), factor)
    return build.build(build.add("all", Concat(), x, gated, whole))


NETWORKS: dict[str, Callable[[], Graph]] = {
    "small": small_network,
    "several": several_ports,
    "residual": residual_network,
    "gate": gate,
}


def check(graph: Graph, folder: Path, seed: int = 0) -> int:
    """Values at the least depths and at those of the C++, the order of every stage, and each least depth; returns their number."""
    project = write_project(graph, folder)
    inputs = {name: random_inputs(graph, FRAMES, seed) for name in graph.inputs} if len(graph.inputs) == 1 else frames(graph, FRAMES)
    engine = ThreadedSimulator(project, optimize="-O0")
    assert_equal(graph, engine.run(inputs), inputs)
    live = live_depths(engine.hls)
    assert live.keys() == engine.stated.keys()
    assert all(engine.stated[stream] >= depth + 2 for stream, depth in live.items())
    engine.depths = live
    assert_equal(graph, engine.run(inputs), inputs)
    model = design_network(design(graph))
    assert engine.order(inputs) == dict(zip(engine.stages, order(model), strict=True))
    deep = [stream for stream, depth in live.items() if depth > 1]
    for stream in deep:
        engine.depths = {**live, stream: live[stream] - 1}
        with pytest.raises(Deadlock) as found:
            engine.run(inputs)
        expected = {(waiting.stream, waiting.why, waiting.words) for waiting in deadlock(model, engine.depths, FRAMES)}
        assert {(stuck.stream, stuck.why, stuck.words) for stuck in found.value.cycle} == expected
        assert (stream, "full", live[stream] - 1) in expected
    return len(deep)


def order(model: Network) -> list[list[tuple[str, str]]]:
    """Reads and writes of every stage, one after the other, by the model."""
    result: list[list[tuple[str, str]]] = []
    for pattern in model.patterns(FRAMES).values():
        sides = [("read", pattern.reads), ("write", pattern.writes)]
        ops = [(what, stream, at) for what, streams in sides for stream, at in streams.items()]
        steps = sorted((step, number) for number, (_, _, at) in enumerate(ops) for step in at.tolist())
        result.append([ops[number][:2] for _, number in steps])
    return result


@pytest.mark.parametrize("name", NETWORKS)
def test_the_threads_do_what_the_schedule_says(name: str, tmp_path: Path) -> None:
    deep = check(NETWORKS[name](), tmp_path)
    assert deep >= (name != "several")


@pytest.mark.parametrize("seed", [3, 5, 26, 40])
def test_random_networks(seed: int, tmp_path: Path) -> None:
    graph, _ = network(seed)
    check(graph, tmp_path, seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_random_networks(seed: int, tmp_path: Path) -> None:
    graph, _ = network(seed)
    check(graph, tmp_path, seed)


def test_the_message_names_the_cycle(tmp_path: Path) -> None:
    engine = ThreadedSimulator(write_project(gate(), tmp_path), optimize="-O0")
    engine.depths = {**engine.depths, "x_rest0": 5}
    with pytest.raises(Deadlock, match="stands still at these depths, 11 stages wait, these for each other") as found:
        engine.run(frames(gate(), 1))
    assert "fork<value::x>(x, x_copy0, x_rest0) waits for x_rest0, which is full (5 words)" in str(found.value)
    assert "multiply_channels<layer::gated>(x_copy1, factor_copy0, gated) waits for" in str(found.value)
    assert "axi_in" not in str(found.value) and len(found.value.waiting) == 11


def test_edits_of_the_top_are_judged(tmp_path: Path) -> None:
    """The C++ runs as it lies: a stream that two stages read, words that nobody reads, a depth that is too small."""
    project = write_project(residual_network(), tmp_path)
    top = project / "hls" / "residual.cpp"
    text = top.read_text()
    inputs = frames(residual_network(), 2)

    def edited(old: str, new: str) -> ThreadedSimulator:
        assert text.count(old) == 1
        top.write_text(text.replace(old, new))
        return ThreadedSimulator(project, optimize="-O0")

    with pytest.raises(ProjectError, match="stream 'stem_copy0' is read by two stages"):
        edited("(body, stem_copy1, add_v", "(body, stem_copy0, add_v").run(inputs)
    depth = ThreadedSimulator(project).stated["stem_copy1"]
    with pytest.raises(Deadlock, match=r"waits for stem_copy1, which is full \(4 words\)"):
        edited(f"variable=stem_copy1 depth={depth}", "variable=stem_copy1 depth=4").run(inputs)


def test_a_project_without_live_depths(tmp_path: Path) -> None:
    (tmp_path / "layout.json").write_text("{}")
    with pytest.raises(ProjectError, match=r"layout.json has no live depths of the streams .* export the project again"):
        live_depths(tmp_path)
