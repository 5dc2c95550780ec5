"""Random networks: every engine gives the same codes at every value. `benchmarks/fuzz.py` runs thousands of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings

from qfx.errors import QfxError
from qfx.ir import Graph, GraphBuilder
from qfx.ops import OPS, Add, ReLU, Requantize
from qfx.sim import Simulator
from qfx.testing.choices import Seeded
from qfx.testing.differential import compare, compare_compiled, network, part, shorter_models, smaller, together
from qfx.testing.graphs import hls_kinds, random_graph, random_inputs
from qfx.testing.models import RandomModel
from qfx.testing.strategies import graphs, models
from tests.hls.build import S6

RELAXED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=40, suppress_health_check=RELAXED)
@given(graphs())
def test_graphs(graph: Graph) -> None:
    report = compare(graph)
    assert report.first is None, f"{report.first.text()}\n{graph.text()}"


@settings(max_examples=40, suppress_health_check=RELAXED)
@given(models())
def test_models(model: RandomModel) -> None:
    try:
        graph = model.lower(model.input_shape)
    except QfxError:
        reject()
    report = compare(graph, model)
    assert report.first is None, f"{report.first.text()}\n{graph.text()}"


@pytest.mark.full
@pytest.mark.parametrize("start", range(0, 600, 50))
def test_many_networks(start: int) -> None:
    for seed in range(start, start + 50):
        try:
            graph, model = network(seed)
        except QfxError:
            continue
        report = compare(graph, model, seed=seed)
        assert report.first is None, f"seed {seed}: {report.first.text()}\n{graph.text()}"


def compiled(numbers: range, folder: Path) -> None:
    """Four graphs a program, two compilers at a time."""
    batches = [
        [random_graph(Seeded(seed), hls_kinds(), 6) for seed in numbers[start : start + 4]] for start in range(0, len(numbers), 4)
    ]
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(compare_compiled, together(batch), folder / f"batch{i}") for i, batch in enumerate(batches)]
    for job in jobs:
        report = job.result()
        assert report.first is None, report.first.text()


def test_compiled_graphs(tmp_path: Path) -> None:
    compiled(range(8), tmp_path)


@pytest.mark.full
def test_many_compiled_graphs(tmp_path: Path) -> None:
    compiled(range(8, 128), tmp_path)


def test_every_op_occurs() -> None:
    found = {node.op.kind for seed in range(120) for node in random_graph(Seeded(seed)).nodes}
    assert found == set(OPS)


def test_a_seed_is_a_network() -> None:
    assert random_graph(Seeded(5)).text() == random_graph(Seeded(5)).text() != random_graph(Seeded(6)).text()
    (first, one), (second, _) = network(4), network(4)
    assert one is not None and first.text() == second.text() and network(5)[1] is None


def test_formats_at_the_edges_occur() -> None:
    types = [value.type for seed in range(60) for value in random_graph(Seeded(seed)).values.values()]
    assert any(type.width == 1 for type in types) and any(type.frac < 0 for type in types)
    assert any(type.frac > type.width for type in types) and any(type.width > 24 for type in types)
    ops = [node.op for seed in range(60) for node in random_graph(Seeded(seed)).nodes]
    assert any(getattr(op, "digits", None) for op in ops)


def test_graphs_together_compute_what_they_compute_alone() -> None:
    alone = [random_graph(Seeded(seed)) for seed in (1, 2, 3)]
    graph = together(alone)
    values = Simulator(graph).run({"x": random_inputs(graph, 9, 0)})
    for number, one in enumerate(alone):
        (name,) = one.inputs
        fed = "cast" if len(one.values[name].shape) == 1 else "image"
        for value, codes in Simulator(one).run({name: values[f"g{number}.{fed}"]}).items():
            if value != name:
                np.testing.assert_array_equal(values[f"g{number}.{value}"], codes)


def forked() -> Graph:
    build = GraphBuilder("forked")
    x = build.input("x", S6, (3,))
    a = build.add("a", ReLU(), x)
    b = build.add("b", Requantize(S6), a)
    c = build.add("c", Add(), a, b)
    return build.build(build.add("d", ReLU(), c))


def test_the_smallest_part_that_fails() -> None:
    graph = forked()
    found = smaller(graph, lambda candidate: any(node.op.kind == "add" for node in candidate.nodes), "c")
    assert [node.name for node in found.nodes] == ["b", "c"] and found.inputs == ["x"]
    assert smaller(graph, lambda candidate: False, "c") is graph
    assert part(graph, "b", "c") is None and part(graph, "c", "c") is None
    assert [node.name for node in (part(graph, "c", "d") or graph).nodes] == ["d"]


def test_shorter_models() -> None:
    lengths = [len(model.steps) for _, model in shorter_models(8)]
    assert lengths and lengths[0] <= lengths[-1]
