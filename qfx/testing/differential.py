"""Random networks through all engines: comparison, many graphs as one program, and smaller networks that fail alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qfx.annotations import explained
from qfx.engines.comparison import compare_engines
from qfx.engines.onnx_engine import OnnxEngine
from qfx.engines.protocol import Engine
from qfx.engines.report import Report
from qfx.engines.sim_engine import SimulatorEngine
from qfx.engines.torch_engine import TorchEngine
from qfx.errors import QfxError
from qfx.export.onnx import onnx_model
from qfx.files import File
from qfx.ir import Graph, GraphBuilder, Value
from qfx.sim.csim import CSimulator
from qfx.testing.choices import Seeded
from qfx.testing.graphs import random_graph, random_inputs
from qfx.testing.models import RandomModel, random_model
from qfx.testing.one_network import fed, flat_input, one_number, total
from qfx.testing.projects import write_project

SAMPLES = 20


@explained
def compare(graph: Graph, model: RandomModel | None = None, more: Sequence[Engine] = (), seed: int = 0) -> Report:
    """Simulator, ONNX Runtime, torch if there is a model, and what is given, on corner and random inputs."""
    engines: list[Engine] = [SimulatorEngine(graph), OnnxEngine(graph, onnx_model(graph), threads=1), *more]
    if model is not None:
        engines.append(TorchEngine(model, graph))
    return compare_engines(graph, engines, random_inputs(graph, SAMPLES, seed))


@explained
def compare_compiled(graph: Graph, folder: File, seed: int = 0, optimize: str = "-O0") -> Report:
    """The graph's C++, written into `folder` and compiled, against the simulator."""
    engine = CSimulator(write_project(graph, folder), optimize=optimize)
    return compare_engines(graph, [SimulatorEngine(graph), engine], random_inputs(graph, SAMPLES, seed))


def network(seed: int, steps: int = 8) -> tuple[Graph, RandomModel | None]:
    """The random network of a seed: a torch model for an even one, a graph for an odd one."""
    if seed % 2:
        return random_graph(Seeded(seed), steps=steps), None
    model = random_model(Seeded(seed), steps)
    return model.lower(model.input_shape), model


def together(graphs: Sequence[Graph]) -> Graph:
    """All graphs as one network with one flat input, of which each gets its own elements, cast to its input's format."""
    build = GraphBuilder("together")
    inputs = [graph.values[graph.inputs[0]] for graph in graphs]
    x = flat_input(build, inputs)
    parts: list[Value] = []
    for number, (graph, value) in enumerate(zip(graphs, inputs, strict=True)):
        name = f"g{number}"
        parts.append(one_number(build, _copy(build, graph, fed(build, x, value, name), f"{name}."), name))
    return build.build(total(build, parts))


def _copy(build: GraphBuilder, graph: Graph, fed: Value, prefix: str) -> Value:
    """The graph's nodes once more, its input replaced by `fed`; returns the output."""
    values = {graph.inputs[0]: fed}
    for name, value in graph.values.items():
        if value.constant is not None:
            values[name] = build.constant(prefix + name, value.type, value.constant)
    for node in graph.nodes:
        values[node.name] = build.add(prefix + node.name, node.op, *(values[name] for name in node.inputs))
    return values[graph.outputs[0]]


def part(graph: Graph, start: str, end: str) -> Graph | None:
    """The nodes that lead from value `start`, which becomes the input, to `end`; None if `end` needs another value, too."""
    needed = {end}
    for node in reversed(graph.nodes):
        if node.name in needed and node.name != start:
            needed |= set(node.inputs)
    values = {start: graph.values[start]}
    build = GraphBuilder(graph.name)
    values[start] = build.input("x" if start not in graph.inputs else start, graph.values[start].type, graph.values[start].shape)
    for node in graph.nodes:
        if node.name not in needed or node.name == start or node.name in values:
            continue
        for name in node.inputs:
            constant = graph.values[name]
            if constant.constant is not None and name not in values:
                values[name] = build.constant(name, constant.type, constant.constant)
        if not all(name in values for name in node.inputs):
            continue  # reached only past the input; what needs it is left out as well
        values[node.name] = build.add(node.name, node.op, *(values[name] for name in node.inputs))
    return build.build(values[end]) if end in values and end != start else None


@explained
def smaller(graph: Graph, fails: Callable[[Graph], bool], layer: str) -> Graph:
    """The shortest part of the graph that ends in `layer` and still fails; the graph itself if none does."""
    candidates = [found for start in graph.activations() if (found := _part_or_none(graph, start, layer)) is not None]
    for candidate in sorted(candidates, key=lambda found: len(found.nodes)):
        if fails(candidate):
            return candidate
    return graph


def _part_or_none(graph: Graph, start: str, end: str) -> Graph | None:
    try:
        return part(graph, start, end)
    except QfxError:  # a value that the part computes and nothing reads
        return None


def shorter_models(seed: int) -> Iterator[tuple[Graph, RandomModel]]:
    """The model of a seed with fewer steps, the fewest first."""
    for steps in range(1, 8):
        try:
            model = random_model(Seeded(seed), steps)
            yield model.lower(model.input_shape), model
        except QfxError:
            continue
