"""Engines side by side: every value of every layer against the reference, chunk by chunk."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qfx.engines.protocol import WHOLE, Engine, Extent, Values
from qfx.engines.report import Difference, LayerReport, Report
from qfx.errors import ProjectError
from qfx.fixed import IntArray
from qfx.ir import Graph, Node
from qfx.progress import Progress, silent
from qfx.sim.compare import differs
from qfx.sim.engine import Codes, by_input

CHUNK_BYTES = 1 << 27
"""Memory that the values of one chunk may take, all engines together."""


def compare_engines(
    graph: Graph,
    engines: Sequence[Engine],
    inputs: Codes,
    progress: Progress = silent,
    notes: Sequence[str] = (),
    outputs_only: bool = False,
    extents: Mapping[str, Extent] | None = None,
) -> Report:
    """Run all engines on the same inputs and compare them, exactly.

    Args:
        graph: the network.
        engines: two or more; the first is the reference.
        inputs: codes (samples, *shape), by input name if there are several.
        progress: told after every chunk.
        notes: passed on into the report.
        outputs_only: whether only the graph's outputs are compared; then the engines need not give any other value.
        extents: by engine name, what it has values of, if that is not everything. Without its value, and where it is the
            reference, the others are compared with the next one.

    Raises:
        ProjectError: an engine gave no value for a layer, or one of another shape.
    """
    nodes = [node for node in graph.nodes if not outputs_only or node.name in graph.outputs]
    step = chunk_size(graph, len(engines), outputs_only)
    codes = by_input(graph, inputs)
    samples = len(codes[graph.inputs[0]])
    state = _Comparison(graph, nodes, extents or {}, samples)
    limits = {extent.samples for extent in state.extents.values() if extent.samples is not None and extent.samples < samples}
    starts = sorted({*range(0, samples, step), *limits})
    for start, end in zip(starts, [*starts[1:], samples], strict=True):
        running = [engine for engine in engines if state.has(engine.name, start)]
        if len(running) > 1:
            chunk = {name: array[start:end].astype(np.int64) for name, array in codes.items()}
            state.compare({engine.name: state.run(engine, chunk, start, progress) for engine in running}, end - start, start)
        progress("compare", end, samples)
    names = tuple(engine.name for engine in engines)
    return Report(names, samples, state.layers(), state.first, tuple(notes), outputs_only, state.ran)


def chunk_size(graph: Graph, engines: int, outputs_only: bool = False) -> int:
    """Samples whose compared values and inputs in all engines fit `CHUNK_BYTES`; at least 1."""
    names = {*graph.inputs, *graph.outputs} if outputs_only else graph.activations()
    per_sample = 8 * engines * sum(graph.values[name].size for name in names)
    return max(1, CHUNK_BYTES // per_sample)


@dataclass
class _Comparison:
    """What the chunks so far have shown."""

    graph: Graph
    nodes: Sequence[Node]
    extents: Mapping[str, Extent]
    samples: int
    ran: dict[str, float] = field(default_factory=dict[str, float])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    compared: Counter[str] = field(default_factory=Counter[str])
    counts: Counter[str] = field(default_factory=Counter[str])
    first: Difference | None = None
    first_layer: int | None = None

    def run(self, engine: Engine, chunk: dict[str, IntArray], start: int, progress: Progress) -> Values:
        """The values of one chunk; says which engine is at work."""
        progress(f"run {engine.name}", start, self.samples)
        begun = time.perf_counter()
        values = engine.run(chunk)
        self.ran[engine.name] = self.ran.get(engine.name, 0.0) + time.perf_counter() - begun
        progress(f"run {engine.name}", start + len(next(iter(chunk.values()))), self.samples)
        return values

    def has(self, engine: str, sample: int) -> bool:
        """Whether an engine has values of this sample."""
        limit = self.extents.get(engine, WHOLE).samples
        return limit is None or sample < limit

    def compare(self, results: dict[str, Values], samples: int, start: int) -> None:
        """Count the differences of one chunk of so many samples whose first sample has the index `start`."""
        for position, node in enumerate(self.nodes):
            begun = time.perf_counter()
            wanted = (samples, *self.graph.values[node.name].shape)
            outputs_only = {name: self.extents.get(name, WHOLE).outputs_only for name in results}
            given = {name: values for name, values in results.items() if not outputs_only[name] or node.name in self.graph.outputs}
            found = {name: _value(name, node.name, values, wanted) for name, values in given.items()}
            reference = next(iter(found), "")
            wrong = {name: differs(found[reference], codes) for name, codes in found.items() if name != reference}
            count = sum(int(mask.sum()) for mask in wrong.values())
            self.compared[node.name] += len(wrong) * samples * self.graph.values[node.name].size
            self.counts[node.name] += count
            self.seconds[node.name] = self.seconds.get(node.name, 0.0) + time.perf_counter() - begun
            if count and (self.first_layer is None or position < self.first_layer):
                self.first_layer = position
                self.first = self._difference(node, found, wrong, start)

    def _difference(self, node: Node, found: Values, wrong: dict[str, npt.NDArray[np.bool_]], start: int) -> Difference:
        either = np.logical_or.reduce(list(wrong.values()))
        where = tuple(int(i) for i in np.unravel_index(int(np.argmax(either)), either.shape))
        return Difference(
            layer=node.name,
            op=node.op.kind,
            sample=start + where[0],
            index=where[1:],
            engines=tuple(name for name, mask in wrong.items() if mask[where]),
            codes={name: _number(codes[where]) for name, codes in found.items()},
            type=self.graph.values[node.name].type,
            operands={value.name: value.type for value in self.graph.operands(node)},
        )

    def layers(self) -> tuple[LayerReport, ...]:
        """The report of every layer."""
        return tuple(
            LayerReport(
                node.name,
                node.op.kind,
                self.graph.values[node.name].type.ap_name,
                self.graph.values[node.name].size,
                self.compared[node.name],
                self.counts[node.name],
                self.seconds.get(node.name, 0.0),
            )
            for node in self.nodes
        )


def _value(engine: str, name: str, values: Values, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    if name not in values:
        raise ProjectError(f"engine {engine} gave no value for layer {name!r}; the project and its engines do not belong together")
    if values[name].shape != shape:
        raise ProjectError(f"engine {engine} gave layer {name!r} the shape {values[name].shape}, wanted {shape}")
    return values[name]


def _number(code: np.generic) -> int | float:
    """A code as a Python number: an int where it is one."""
    number = code.item()
    return int(number) if isinstance(number, float) and number.is_integer() else number
