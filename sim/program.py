"""A graph as a list of NumPy calls on memory that is allocated once.

A program runs a fixed number of samples. Inside it a value is an array (*shape, sample) of the narrowest float that holds its
format exactly, or of int64. Products and what follows them element by element are computed block by block, in the cache. An op
without a kernel here is computed by its own `evaluate` on int64 codes.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from qfx.exact import accumulator_dtype
from qfx.ir import Graph, Node, Value
from qfx.ir.passes.pool_first import pool_first
from qfx.ops import Op
from qfx.sim.arena import Arena, Array, Temps
from qfx.sim.chain import Block, Calls, Chain, is_elementwise
from qfx.sim.kernels import BLOCK_BYTES, Columns, is_product, is_whole, product_chain, product_columns, whole

LIVE_BYTES = 1 << 21
"""Memory that the largest values of a program may take, for speed: a usual second-level cache."""

MOST_SAMPLES = 1024


def block_samples(graph: Graph) -> int:
    """Samples of a program that runs fast: enough for long runs of memory, few enough to stay in the cache."""
    largest = max(graph.values[name].size for name in graph.activations())
    return min(MOST_SAMPLES, max(1, LIVE_BYTES // (8 * largest)))


class Program:
    """Computes some values of a graph. Not for two threads at a time.

    Args:
        graph: the network.
        wanted: names of the computed values to give.
        samples: that one run can take.
    """

    def __init__(self, graph: Graph, wanted: Collection[str], samples: int) -> None:
        graph = pool_first(graph, wanted)
        self.samples = samples
        self._graph, self._wanted = graph, wanted
        self._arena = Arena()
        self._calls: Calls = []
        self._arrays = {name: self._take(graph.values[name]) for name in graph.inputs}
        self._inputs = dict(self._arrays)
        groups = _groups(graph, wanted)
        last = _last_uses(groups, wanted)
        for index, group in enumerate(groups):
            self._compile(group)
            for name in last.get(index, ()):
                if name in self._arrays:  # it may be a constant
                    self._arena.give(self._arrays.pop(name))

    def run(self, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, Array]:
        """The wanted values of up to `samples` samples.

        Args:
            inputs: codes (batch, *shape), all of their formats.

        Returns:
            codes (batch, *shape), integers in some dtype; overwritten by the next run.
        """
        count = 0
        for name, array in self._inputs.items():
            count = len(inputs[name])
            np.copyto(array[..., :count], np.moveaxis(inputs[name], 0, -1), casting="unsafe")
            array[..., count:] = 0
        for call in self._calls:
            call()
        return {name: np.moveaxis(self._arrays[name], -1, 0)[:count] for name in self._wanted}

    def _take(self, value: Value) -> Array:
        return self._arena.take((*value.shape, self.samples), accumulator_dtype(value.type.max_abs))

    def _compile(self, group: Sequence[Node]) -> None:
        """Add the calls of one group."""
        head = group[0]
        operands = self._graph.operands(head)
        if _in_blocks(self._graph, head):
            self._blocks(group)
            return
        self._arrays[head.name] = out = self._take(self._graph.values[head.name])
        if is_whole(head.op, operands):
            self._calls += whole(head.op, operands, self._arrays[head.inputs[0]], out, self._arena)
        else:
            arrays = [self._arrays[value.name] if value.constant is None else value.constant for value in operands]
            self._calls.append(partial(_evaluate, head.op, operands, arrays, out))

    def _blocks(self, group: Sequence[Node]) -> None:
        """A product or an element-wise op, and the element-wise ops that follow, block by block."""
        head, result = group[0], self._graph.values[group[-1].name]
        operands = self._graph.operands(head)
        x = self._arrays[head.inputs[0]]
        if is_product(head.op, operands):
            chain, parts = product_chain(head.op, operands), product_columns(head.op, operands, x, self._arena)
        else:
            chain, parts = Chain(operands[0].type.max_abs, operands[0].channels), _slices(x)
            self._extend(chain, head, head.inputs[0])
        for before, node in itertools.pairwise(group):
            self._extend(chain, node, before.name)
        chain.flush()
        self._arrays[result.name] = self._take(result)
        out = self._arrays[result.name].reshape(result.channels, -1)
        temps = Temps(self._arena)
        for part in parts:
            block = Block(part.calls, temps, part.elements, part.array)
            for stage in chain.stages:
                stage(block)
            block.calls.append(partial(np.copyto, out[:, part.elements], block.array, casting="unsafe"))
            self._calls += block.calls
        temps.release()

    def _extend(self, chain: Chain, node: Node, before: str) -> None:
        """Append `node`, whose operand `before` the chain computes."""
        position = node.inputs.index(before)
        names = [name for i, name in enumerate(node.inputs) if i != position and name in self._arrays]
        others = [self._arrays[name].reshape(len(self._arrays[name]), -1) for name in names]
        chain.add(node.op, self._graph.operands(node), position, others)


def _in_blocks(graph: Graph, node: Node) -> bool:
    """Whether a node is computed block by block; what it reads has to be computed, too."""
    operands = graph.operands(node)
    constants = node.op.constant_operands
    computed = all(
        value.constant is None or name.rstrip("?") in constants
        for value, name in zip(operands, node.op.operand_names, strict=False)
    )
    return computed and (is_product(node.op, operands) or is_elementwise(node.op, operands))


def _groups(graph: Graph, wanted: Collection[str]) -> list[list[Node]]:
    """The nodes that are computed together, in an order in which they can be: a group runs in place of its last node.

    A group goes on with an element-wise op that is the only reader of what the group computes so far.
    """
    position = {node.name: index for index, node in enumerate(graph.nodes)}
    left = dict.fromkeys(position)
    groups: list[list[Node]] = []
    for node in graph.nodes:
        if node.name not in left:
            continue
        group = [node]
        while _in_blocks(graph, node) and node.name not in wanted and len(readers := graph.consumers(node.name)) == 1:
            (node,) = readers
            if node.name not in left or not (_in_blocks(graph, node) and is_elementwise(node.op, graph.operands(node))):
                break
            group.append(node)
        for done in group:
            del left[done.name]
        groups.append(group)
    return sorted(groups, key=lambda group: position[group[-1].name])


def _last_uses(groups: Sequence[Sequence[Node]], wanted: Collection[str]) -> dict[int, list[str]]:
    """Per group: the values in memory that no later group reads."""
    last: dict[str, int] = {}
    for index, group in enumerate(groups):
        inside = {node.name for node in group[:-1]}
        for name in (*(name for node in group for name in node.inputs), group[-1].name):
            if name not in inside:
                last[name] = index
    uses: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in wanted:
            uses.setdefault(index, []).append(name)
    return uses


def _slices(x: Array) -> Iterator[Columns]:
    """Parts of a value that is there already."""
    rows = x.reshape(len(x), -1)
    step = max(1, BLOCK_BYTES // (8 * len(rows)))
    for start in range(0, rows.shape[1], step):
        yield Columns([], rows[:, start : start + step], slice(start, start + step))


def _evaluate(op: Op, operands: Sequence[Value], arrays: Sequence[Array], out: Array) -> None:
    """The op's own arithmetic, on int64 codes with the samples first."""
    codes = [
        np.moveaxis(array, -1, 0).astype(np.int64) if value.constant is None else value.constant
        for array, value in zip(arrays, operands, strict=True)
    ]
    np.copyto(np.moveaxis(out, -1, 0), op.evaluate(codes, operands), casting="unsafe")
