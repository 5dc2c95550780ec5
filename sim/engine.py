"""The simulators: a graph run on integer codes with NumPy, in bounded memory, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from qfx.arguments import shown
from qfx.checks import argument, whole
from qfx.errors import GraphError, InputError
from qfx.fixed import IntArray
from qfx.ir import Graph
from qfx.sim.blas import one_thread
from qfx.sim.program import Program, block_samples

Codes = npt.NDArray[np.integer] | Mapping[str, npt.NDArray[np.integer]]
"""Codes (samples, *shape) of a network's only input, or of each of its inputs by name."""

_Codes = Mapping[str, npt.NDArray[np.integer]]

CHUNK_BYTES = 1 << 27
"""Memory that the results of one chunk may take."""


class Simulator:
    """The interpreter: every op evaluates int64 codes by itself, and every code is checked against its format.

    Args:
        graph: the network.
        threads: blocks of samples that are computed at a time; 0 for one per core.
    """

    name = "sim"

    def __init__(self, graph: Graph, threads: int = 0) -> None:
        self.graph = graph
        self.threads = argument("the simulator", "threads", threads, whole(0)) or cores()

    def run(self, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, IntArray]:
        """Evaluate one batch.

        Args:
            inputs: codes (batch, *shape) of every graph input, any integer dtype.

        Returns:
            int64 codes (batch, *shape) of all inputs and computed values.

        Raises:
            InputError: a missing input, a wrong shape or dtype, or a code outside the input's format.
            GraphError: a computed value left its format (a fault of the graph, not of the input).
        """
        return _in_blocks(self.graph, inputs, self.graph.activations(), self.threads, self._evaluate)

    def _evaluate(self, inputs: _Codes, samples: int) -> _Codes:
        """Of one block."""
        result = {name: codes.astype(np.int64) for name, codes in inputs.items()}
        for node in self.graph.nodes:
            operands = self.graph.operands(node)
            arrays = [result[value.name] if value.constant is None else value.constant for value in operands]
            result[node.name] = node.op.evaluate(arrays, operands)
            _check(self.graph, node.name, result[node.name])
        return result


class FastSimulator:
    """The same codes by a compiled `Program`: in floats that are proved exact, without a look at what lies between.

    Args:
        graph: the network.
        wanted: names of the values to give; None for the graph's outputs.
        threads: blocks of samples that are computed at a time; 0 for one per core.
    """

    name = "sim"

    def __init__(self, graph: Graph, wanted: Collection[str] | None = None, threads: int = 0) -> None:
        self.graph = graph
        self.threads = argument("the simulator", "threads", threads, whole(0)) or cores()
        self._wanted = [name for name in graph.activations() if name in (graph.outputs if wanted is None else wanted)]
        self._computed = frozenset(self._wanted).difference(graph.inputs)
        self._programs: list[Program] = []

    def run(self, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, IntArray]:
        """The wanted values of one batch, as `Simulator.run` gives them; each is checked against its format.

        Raises:
            InputError, GraphError: as there.
        """
        return _in_blocks(self.graph, inputs, self._wanted, self.threads, self._compute)

    def _compute(self, inputs: _Codes, samples: int) -> _Codes:
        """Of one block; memory is kept for the next block of as many samples."""
        try:
            program = self._programs.pop()
        except IndexError:  # other threads have them all
            program = None
        if program is None or program.samples != samples:
            program = Program(self.graph, self._computed, samples)
        found = {name: codes.astype(np.int64) for name, codes in program.run(inputs).items()}
        self._programs.append(program)
        for name, codes in found.items():
            _check(self.graph, name, codes)
        return {**inputs, **found}


def _in_blocks(
    graph: Graph, inputs: _Codes, wanted: Sequence[str], threads: int, compute: Callable[[_Codes, int], _Codes]
) -> dict[str, IntArray]:
    """The wanted values, by blocks of `block_samples` samples, `threads` of them at a time.

    Args:
        compute: gives the values of one block from its codes and the number of samples that a block has at most.
    """
    codes = checked_codes(graph, inputs)
    count = _count(codes)
    result = {name: np.empty((count, *graph.values[name].shape), np.int64) for name in wanted}
    step = min(block_samples(graph), max(count, 1))

    def block(start: int) -> None:
        found = compute({name: array[start : start + step] for name, array in codes.items()}, step)
        for name, array in result.items():
            np.copyto(array[start : start + step], found[name], casting="unsafe")

    with one_thread():
        each(block, range(0, count, step), threads)
    return result


def _check(graph: Graph, name: str, codes: IntArray) -> None:
    value = graph.values[name]
    if not value.type.contains(codes):
        raise GraphError(f"node {name!r}: codes from {codes.min()} to {codes.max()} leave {value.type!r}")


def simulate_chunks(
    graph: Graph,
    inputs: Mapping[str, npt.NDArray[np.integer]],
    wanted: Collection[str] | None = None,
    chunk: int | None = None,
    threads: int = 0,
) -> Iterator[dict[str, IntArray]]:
    """The values of any number of samples by a `FastSimulator`, in chunks, so that memory stays bounded.

    Args:
        inputs: codes (batch, *shape) of every graph input; may be memory-mapped.
        wanted: names of the values to give; None for the graph's outputs.
        chunk: samples at a time; None for what `chunk_size` says.
        threads: as for `FastSimulator`.

    Yields:
        int64 codes of the wanted values, chunk by chunk, in order.
    """
    simulator = FastSimulator(graph, wanted, threads)
    step = chunk or chunk_size(graph, graph.outputs if wanted is None else wanted)
    samples = _count(inputs)
    for start in range(0, samples, step):
        yield simulator.run({name: codes[start : start + step] for name, codes in inputs.items()})


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


_WANTED = "a NumPy array of integer codes (batch, ...) is wanted, or one for each input by its name; tensor.numpy() makes one"


def by_input(graph: Graph, inputs: Codes) -> dict[str, npt.NDArray[np.integer]]:
    """The codes of each input by its name.

    Raises:
        InputError: no arrays, one for several inputs, a name that is no input, a missing one, or different numbers of samples.
    """
    if isinstance(inputs, np.ndarray):
        if len(graph.inputs) != 1:
            raise InputError(
                f"the network has {len(graph.inputs)} inputs; give the codes of each by its name: {', '.join(graph.inputs)}"
            )
        return {graph.inputs[0]: inputs}
    if not isinstance(inputs, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"the inputs are {shown(inputs)}; {_WANTED}")
    for name, codes in inputs.items():
        if not isinstance(codes, np.ndarray):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"input {name!r} is {shown(codes)}; {_WANTED}")
        if name not in graph.inputs:
            raise InputError(f"{name!r} is no input of the network; it wants {', '.join(graph.inputs)}")
    _check_names(graph, inputs)
    _count(inputs)
    return dict(inputs)


def given_codes(graph: Graph, inputs: Codes) -> dict[str, npt.NDArray[np.integer]]:
    """`by_input` of what somebody asks about.

    Raises:
        InputError: as there, or the inputs hold no sample.
    """
    codes = by_input(graph, inputs)
    if any(len(array) == 0 for array in codes.values()):
        raise InputError("the inputs hold no sample; give one or more")
    return codes


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
