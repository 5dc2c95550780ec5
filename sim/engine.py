"""The integer engine: runs a graph with NumPy and checks that every value stays in its format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from qfx.errors import GraphError, UsageError
from qfx.fixed import IntArray
from qfx.ir import Graph

Codes = npt.NDArray[np.integer] | Mapping[str, npt.NDArray[np.integer]]
"""Codes (samples, *shape) of a network's only input, or of each of its inputs by name."""

CHUNK_BYTES = 1 << 28
"""Memory that the live values of one chunk may take."""


class Simulator:
    """Runs a graph on integer codes.

    Args:
        graph: the network.
    """

    name = "sim"

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._last_use = _last_uses(graph)

    def run(self, inputs: Mapping[str, npt.NDArray[np.integer]], keep: frozenset[str] | None = None) -> dict[str, IntArray]:
        """Evaluate one batch.

        Args:
            inputs: codes (batch, *shape) of every graph input, any integer dtype.
            keep: names of the values wanted; None for all inputs and computed values.

        Returns:
            int64 codes (batch, *shape) of each wanted value.

        Raises:
            UsageError: a missing input, a wrong shape or dtype, or a code outside the input's format.
            GraphError: a computed value left its format (a fault of the graph, not of the input).
        """
        wanted = frozenset(self.graph.activations()) if keep is None else keep
        live = check_inputs(self.graph, inputs)
        result = {name: codes for name, codes in live.items() if name in wanted}
        for index, node in enumerate(self.graph.nodes):
            operands = self.graph.operands(node)
            arrays = [live[value.name] if value.constant is None else value.constant for value in operands]
            codes = node.op.evaluate(arrays, operands)
            value = self.graph.values[node.name]
            if not value.type.contains(codes):
                raise GraphError(f"node {node.name!r}: codes from {codes.min()} to {codes.max()} leave {value.type!r}")
            live[node.name] = codes
            if node.name in wanted:
                result[node.name] = codes
            for name in self._last_use.get(index, ()):
                live.pop(name, None)
        return result


def simulate(
    graph: Graph, inputs: Mapping[str, npt.NDArray[np.integer]], keep: frozenset[str] | None = None, chunk: int | None = None
) -> Iterator[dict[str, IntArray]]:
    """Evaluate any number of samples in chunks, so that memory stays bounded.

    Args:
        inputs: codes (batch, *shape) of every graph input; may be memory-mapped.
        keep: names of the values wanted; None for the graph's outputs.
        chunk: samples at a time; None for what fits about 256 MiB.

    Yields:
        int64 codes of the wanted values, chunk by chunk, in order.
    """
    simulator = Simulator(graph)
    wanted = frozenset(graph.outputs) if keep is None else keep
    step = chunk or chunk_size(graph)
    samples = _count(inputs)
    for start in range(0, samples, step):
        yield simulator.run({name: codes[start : start + step] for name, codes in inputs.items()}, wanted)


def chunk_size(graph: Graph) -> int:
    """Samples whose values, all kept, fit `CHUNK_BYTES`; at least 1."""
    per_sample = 8 * sum(graph.values[name].size for name in graph.activations())
    return max(1, CHUNK_BYTES // per_sample)


def check_input(graph: Graph, name: str, inputs: Mapping[str, npt.NDArray[np.integer]]) -> IntArray:
    """The codes of graph input `name` as int64.

    Raises:
        UsageError: the input is missing, of the wrong shape or dtype, or has a code outside its format.
    """
    value = graph.values[name]
    _check_names(graph, inputs)
    codes = inputs[name]
    if not np.issubdtype(codes.dtype, np.integer):
        raise UsageError(f"input {name!r} has dtype {codes.dtype}; it wants integer codes of {value.type.ap_name}")
    if codes.shape[1:] != value.shape:
        raise UsageError(f"input {name!r} has shape {codes.shape}, wanted (batch, {', '.join(map(str, value.shape))})")
    if codes.size and (int(codes.min()) < value.type.min_int or int(codes.max()) > value.type.max_int):
        raise UsageError(
            f"input {name!r} has codes from {codes.min()} to {codes.max()}, outside {value.type.min_int}..{value.type.max_int}"
            f" of {value.type.ap_name}"
        )
    return codes.astype(np.int64)


def by_input(graph: Graph, inputs: Codes) -> dict[str, npt.NDArray[np.integer]]:
    """The codes of each input by its name.

    Raises:
        UsageError: one array for several inputs, a name that is no input, a missing one, or different numbers of samples.
    """
    if isinstance(inputs, np.ndarray):
        if len(graph.inputs) != 1:
            raise UsageError(
                f"the network has {len(graph.inputs)} inputs; give the codes of each by its name: {', '.join(graph.inputs)}"
            )
        return {graph.inputs[0]: inputs}
    for name in inputs:
        if name not in graph.inputs:
            raise UsageError(f"{name!r} is no input of the network; it wants {', '.join(graph.inputs)}")
    _check_names(graph, inputs)
    _count(inputs)
    return dict(inputs)


def check_inputs(graph: Graph, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, IntArray]:
    """The codes of every graph input as int64, in the graph's order.

    Raises:
        UsageError: as `check_input`, or the inputs hold different numbers of samples.
    """
    codes = {name: check_input(graph, name, inputs) for name in graph.inputs}
    _count(codes)
    return codes


def _check_names(graph: Graph, inputs: Mapping[str, object]) -> None:
    for name in graph.inputs:
        if name not in inputs:
            raise UsageError(f"input {name!r} is missing; the network wants {', '.join(graph.inputs)}")


def _count(inputs: Mapping[str, npt.NDArray[np.generic]]) -> int:
    """Samples that every input holds.

    Raises:
        UsageError: the inputs hold different numbers.
    """
    counts = {name: len(codes) for name, codes in inputs.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        raise UsageError(f"the inputs hold different numbers of samples: {found}")
    return next(iter(counts.values()))


def _last_uses(graph: Graph) -> dict[int, list[str]]:
    """Per node index: the values that no later node reads."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in (*node.inputs, node.name):
            last[name] = index
    uses: dict[int, list[str]] = {}
    for name, index in last.items():
        uses.setdefault(index, []).append(name)
    return uses
