"""Engines side by side: every value of every layer against the reference, chunk by chunk."""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter, defaultdict
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
from qfx.sim.shares import SEVERAL, shares

INPUT = "input"
"""What a report calls a graph's input in the place of an op."""

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
        inputs: codes (samples, *shape), by input name if there are several. Fewer than `qfx.sim.shares.SEVERAL` samples are run
            again and again, that often, and a value that differs in any of these runs differs.
        progress: told after every chunk.
        notes: passed on into the report.
        outputs_only: whether only the graph's outputs are compared; then the engines need not give any other value.
        extents: by engine name, what it has values of, if that is not everything. Without its value, and where it is the
            reference, the others are compared with the next one.

    Returns:
        the layers, each with its mismatches. The graph's inputs as the engines have read them are compared, too, and come first
        where they differ: the first layer of a report is the one whose operands are right and whose result is not.

    Raises:
        ProjectError: an engine gave no value for a layer, or one of another shape.
    """
    nodes = [node for node in graph.nodes if not outputs_only or node.name in graph.outputs]
    codes = by_input(graph, inputs)
    samples = len(codes[graph.inputs[0]])
    state = _Comparison(graph, nodes, () if outputs_only else graph.inputs, extents or {}, samples)
    for share in state.shares(chunk_size(graph, len(engines), outputs_only)):
        running = [engine for engine in engines if state.has(engine.name, share.start)]
        if len(running) > 1:
            times = -(-SEVERAL // (share.stop - share.start))
            chunk = {name: np.concatenate([array[share]] * times).astype(np.int64) for name, array in codes.items()}
            state.compare({engine.name: state.run(engine, chunk, share, progress) for engine in running}, share, times)
        progress("compare", share.stop, samples)
    names = tuple(engine.name for engine in engines)
    return Report(names, samples, state.layers(), state.first, tuple(notes), outputs_only, state.ran)


def chunk_size(graph: Graph, engines: int, outputs_only: bool = False) -> int:
    """Samples whose compared values and inputs in all engines fit `CHUNK_BYTES`; at least `SEVERAL`."""
    names = {*graph.inputs, *graph.outputs} if outputs_only else graph.activations()
    per_sample = 8 * engines * sum(graph.values[name].size for name in names)
    return max(SEVERAL, CHUNK_BYTES // per_sample)


@dataclass
class _Comparison:
    """What the chunks so far have shown."""

    graph: Graph
    nodes: Sequence[Node]
    inputs: Sequence[str]
    extents: Mapping[str, Extent]
    samples: int
    ran: dict[str, float] = field(default_factory=dict[str, float])
    seconds: dict[str, float] = field(default_factory=functools.partial(defaultdict[str, float], float))
    compared: Counter[str] = field(default_factory=Counter[str])
    counts: Counter[str] = field(default_factory=Counter[str])
    first: Difference | None = None
    first_layer: int | None = None

    def shares(self, most: int) -> list[slice]:
        """The samples of each chunk, at most so many; an engine has values of all samples of a chunk or of none."""
        limits = {extent.samples for extent in self.extents.values() if extent.samples is not None}
        bounds = sorted({0, self.samples, *(limit for limit in limits if limit < self.samples)})
        parts = ((start, share) for start, end in itertools.pairwise(bounds) for share in shares(end - start, most))
        return [slice(start + share.start, start + share.stop) for start, share in parts]

    def run(self, engine: Engine, chunk: dict[str, IntArray], share: slice, progress: Progress) -> Values:
        """The values of one chunk; says which engine is at work."""
        progress(f"run {engine.name}", share.start, self.samples)
        begun = time.perf_counter()
        values = engine.run(chunk)
        self.ran[engine.name] = self.ran.get(engine.name, 0.0) + time.perf_counter() - begun
        progress(f"run {engine.name}", share.stop, self.samples)
        return values

    def has(self, engine: str, sample: int) -> bool:
        """Whether an engine has values of this sample."""
        limit = self.extents.get(engine, WHOLE).samples
        return limit is None or sample < limit

    def compare(self, results: dict[str, Values], share: slice, times: int) -> None:
        """Count the differences of one chunk: the samples of `share`, so many times one after the other."""
        samples = share.stop - share.start
        for position, value in enumerate((*self.inputs, *(node.name for node in self.nodes))):
            begun = time.perf_counter()
            wanted = (times * samples, *self.graph.values[value].shape)
            found = {name: _value(name, value, given, wanted) for name, given in results.items() if self._gives(name, value)}
            reference = next(iter(found), "")
            wrong = {name: differs(found[reference], codes) for name, codes in found.items() if name != reference}
            count = sum(int(mask.reshape(times, samples, -1).any(axis=0).sum()) for mask in wrong.values())
            self.compared[value] += len(wrong) * samples * self.graph.values[value].size
            self.counts[value] += count
            self.seconds[value] += time.perf_counter() - begun
            if count and (self.first_layer is None or position < self.first_layer):
                self.first_layer = position
                self.first = self._difference(value, found, wrong, share)

    def _gives(self, engine: str, value: str) -> bool:
        return not self.extents.get(engine, WHOLE).outputs_only or value in self.graph.outputs

    def _difference(self, value: str, found: Values, wrong: dict[str, npt.NDArray[np.bool_]], share: slice) -> Difference:
        either = np.logical_or.reduce(list(wrong.values()))
        where = tuple(int(i) for i in np.unravel_index(int(np.argmax(either)), either.shape))
        node = next((node for node in self.nodes if node.name == value), None)
        return Difference(
            layer=value,
            op=node.op.kind if node else INPUT,
            sample=share.start + where[0] % (share.stop - share.start),
            index=where[1:],
            engines=tuple(name for name, mask in wrong.items() if mask[where]),
            codes={name: _number(codes[where]) for name, codes in found.items()},
            type=self.graph.values[value].type,
            operands={operand.name: operand.type for operand in self.graph.operands(node)} if node else {},
        )

    def layers(self) -> tuple[LayerReport, ...]:
        """The report of every layer, and of inputs that differ."""
        values = self.graph.values
        kinds = {name: INPUT for name in self.inputs if self.counts[name]} | {node.name: node.op.kind for node in self.nodes}
        return tuple(
            LayerReport(
                name,
                kind,
                values[name].type.ap_name,
                values[name].size,
                self.compared[name],
                self.counts[name],
                self.seconds[name],
            )
            for name, kind in kinds.items()
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
