"""The simulator: runs a graph on integer codes with NumPy, in bounded memory, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from qfx.errors import GraphError, InputError
from qfx.fixed import IntArray
from qfx.ir import Graph
from qfx.sim.blas import one_thread
from qfx.sim.program import Program, block_samples

Codes = npt.NDArray[np.integer] | Mapping[str, npt.NDArray[np.integer]]
"""Codes (samples, *shape) of a network's only input, or of each of its inputs by name."""

CHUNK_BYTES = 1 << 27
"""Memory that the results of one chunk may take."""


class Simulator:
    """Runs a graph on integer codes.

    Args:
        graph: the network.
        threads: blocks of samples that are computed at a time; 0 for one per core.
    """

    name = "sim"

    def __init__(self, graph: Graph, threads: int = 0) -> None:
        self.graph = graph
        self.threads = threads or cores()
        self._programs: list[Program] = []
        self._purpose: tuple[frozenset[str], int] = (frozenset(), 0)

    def run(self, inputs: Mapping[str, npt.NDArray[np.integer]], keep: frozenset[str] | None = None) -> dict[str, IntArray]:
        """Evaluate one batch.

        With `keep`, a compiled `Program` computes the values: in floats that are proved exact, without a look at what lies between.
        Without it, every op evaluates int64 codes by itself, and every code is checked against its format; only the
        graph's outputs come from the program, so that whoever compares all values compares what the program gives, too.

        Args:
            inputs: codes (batch, *shape) of every graph input, any integer dtype.
            keep: names of the values wanted; None for all inputs and computed values.

        Returns:
            int64 codes (batch, *shape) of each wanted value.

        Raises:
            InputError: a missing input, a wrong shape or dtype, or a code outside the input's format.
            GraphError: a computed value left its format (a fault of the graph, not of the input).
        """
        wanted = [name for name in self.graph.activations() if keep is None or name in keep]
        codes = checked_codes(self.graph, inputs)
        count = _count(codes)
        result = {name: np.empty((count, *self.graph.values[name].shape), np.int64) for name in wanted}
        step = min(block_samples(self.graph), max(count, 1))
        computed = frozenset(self.graph.outputs if keep is None else wanted).difference(self.graph.inputs)
        self._prepare(computed, step)

        def block(start: int) -> None:
            part = {name: array[start : start + step] for name, array in codes.items()}
            found = part if keep is not None else self._evaluate(part)
            for name, array in {**found, **self._compute(part)}.items():
                if name in result:
                    np.copyto(result[name][start : start + step], array, casting="unsafe")

        with one_thread():
            each(block, range(0, count, step), self.threads)
        return result

    def _prepare(self, computed: frozenset[str], samples: int) -> None:
        """Forget programs made for another purpose."""
        if self._purpose != (computed, samples):
            self._purpose, self._programs = (computed, samples), []

    def _compute(self, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, IntArray]:
        """What the program gives, which is checked against its format."""
        computed, samples = self._purpose
        try:
            program = self._programs.pop()
        except IndexError:  # other threads have them all
            program = Program(self.graph, computed, samples)
        found = {name: codes.astype(np.int64) for name, codes in program.run(inputs).items()}
        self._programs.append(program)
        for name, codes in found.items():
            self._check(name, codes)
        return found

    def _evaluate(self, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, IntArray]:
        """Every value, by the ops' own integer arithmetic."""
        result = {name: codes.astype(np.int64) for name, codes in inputs.items()}
        for node in self.graph.nodes:
            operands = self.graph.operands(node)
            arrays = [result[value.name] if value.constant is None else value.constant for value in operands]
            result[node.name] = node.op.evaluate(arrays, operands)
            self._check(node.name, result[node.name])
        return result

    def _check(self, name: str, codes: IntArray) -> None:
        value = self.graph.values[name]
        if not value.type.contains(codes):
            raise GraphError(f"node {name!r}: codes from {codes.min()} to {codes.max()} leave {value.type!r}")


def simulate(
    graph: Graph,
    inputs: Mapping[str, npt.NDArray[np.integer]],
    keep: frozenset[str] | None = None,
    chunk: int | None = None,
    threads: int = 0,
) -> Iterator[dict[str, IntArray]]:
    """Evaluate any number of samples in chunks, so that memory stays bounded.

    Args:
        inputs: codes (batch, *shape) of every graph input; may be memory-mapped.
        keep: names of the values wanted; None for the graph's outputs.
        chunk: samples at a time; None for what `chunk_size` says.
        threads: as for `Simulator`.

    Yields:
        int64 codes of the wanted values, chunk by chunk, in order.
    """
    simulator = Simulator(graph, threads)
    wanted = frozenset(graph.outputs) if keep is None else keep
    step = chunk or chunk_size(graph, wanted)
    samples = _count(inputs)
    for start in range(0, samples, step):
        yield simulator.run({name: codes[start : start + step] for name, codes in inputs.items()}, wanted)


def chunk_size(graph: Graph, wanted: Collection[str] | None = None) -> int:
    """Samples whose inputs and wanted values (None for all) fit `CHUNK_BYTES`; at least 1."""
    names = {*graph.inputs, *(graph.activations() if wanted is None else wanted)}
    return max(1, CHUNK_BYTES // (8 * sum(graph.values[name].size for name in names)))


def each(block: Callable[[int], None], starts: range, threads: int) -> None:
    """Call `block` for every start, `threads` of them at a time."""
    workers = min(threads, len(starts))
    if workers < 2:
        for start in starts:
            block(start)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(block, starts):
            pass


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_input(graph: Graph, name: str, inputs: Mapping[str, npt.NDArray[np.integer]]) -> IntArray:
    """The codes of graph input `name` as int64.

    Raises:
        InputError: the input is missing, of the wrong shape or dtype, or has a code outside its format.
    """
    return _checked(graph, name, inputs).astype(np.int64)


def _checked(graph: Graph, name: str, inputs: Mapping[str, npt.NDArray[np.integer]]) -> npt.NDArray[np.integer]:
    value = graph.values[name]
    _check_names(graph, inputs)
    codes = inputs[name]
    if not np.issubdtype(codes.dtype, np.integer):
        raise InputError(f"input {name!r} has dtype {codes.dtype}; it wants integer codes of {value.type.ap_name}")
    if codes.shape[1:] != value.shape:
        raise InputError(f"input {name!r} has shape {codes.shape}, wanted (batch, {', '.join(map(str, value.shape))})")
    held = np.iinfo(codes.dtype)
    if held.min >= value.type.min_int and held.max <= value.type.max_int:
        return codes
    if codes.size and (int(codes.min()) < value.type.min_int or int(codes.max()) > value.type.max_int):
        raise InputError(
            f"input {name!r} has codes from {codes.min()} to {codes.max()}, outside {value.type.min_int}..{value.type.max_int}"
            f" of {value.type.ap_name}"
        )
    return codes


def by_input(graph: Graph, inputs: Codes) -> dict[str, npt.NDArray[np.integer]]:
    """The codes of each input by its name.

    Raises:
        InputError: one array for several inputs, a name that is no input, a missing one, or different numbers of samples.
    """
    if isinstance(inputs, np.ndarray):
        if len(graph.inputs) != 1:
            raise InputError(
                f"the network has {len(graph.inputs)} inputs; give the codes of each by its name: {', '.join(graph.inputs)}"
            )
        return {graph.inputs[0]: inputs}
    for name in inputs:
        if name not in graph.inputs:
            raise InputError(f"{name!r} is no input of the network; it wants {', '.join(graph.inputs)}")
    _check_names(graph, inputs)
    _count(inputs)
    return dict(inputs)


def check_inputs(graph: Graph, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, IntArray]:
    """The codes of every graph input as int64, in the graph's order.

    Raises:
        InputError: as `check_input`, or the inputs hold different numbers of samples.
    """
    return {name: codes.astype(np.int64) for name, codes in checked_codes(graph, inputs).items()}


def checked_codes(graph: Graph, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, npt.NDArray[np.integer]]:
    """The codes of every graph input as they are, in the graph's order.

    Raises:
        InputError: as `check_inputs`.
    """
    codes = {name: _checked(graph, name, inputs) for name in graph.inputs}
    _count(codes)
    return codes


def _check_names(graph: Graph, inputs: Mapping[str, object]) -> None:
    for name in graph.inputs:
        if name not in inputs:
            raise InputError(f"input {name!r} is missing; the network wants {', '.join(graph.inputs)}")


def _count(inputs: Mapping[str, npt.NDArray[np.generic]]) -> int:
    """Samples that every input holds.

    Raises:
        InputError: the inputs hold different numbers.
    """
    counts = {name: len(codes) for name, codes in inputs.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        raise InputError(f"the inputs hold different numbers of samples: {found}")
    return next(iter(counts.values()))
