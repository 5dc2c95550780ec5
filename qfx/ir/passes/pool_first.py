"""Max pools before the element-wise ops that they follow: the same outputs with fewer values to compute.

    max(f(x)) = f(max(x))    for every f that keeps order

A max pool whose windows are fewer than the pixels, none of them in the padding alone, goes before

1. a ReLU;
2. a clamp;
3. a requantize that saturates at both ends (SAT, SAT_SYM): every rounding keeps order;
4. an affine whose scales are 0 or more;
5. an affine with negative scales behind a convolution, which takes the signs upon itself, with a bit more for its constants:

       a * (w * x + b) + c = |a| * (sgn(a) * w * x + sgn(a) * b) + c

6. a run of these, all at once, as long as nothing else reads a value inside it.

The last result of a run takes the pool's name, and the pool that of the result before it. What was wanted has the same values and
the same format as before; other values may be gone or stand for something else.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from qfx.fixed import FixedType, IntArray
from qfx.ir.graph import Graph, GraphBuilder, Node
from qfx.ir.value import Value
from qfx.ops import Affine, MaxPool2d
from qfx.ops.multiplying import SumOfProducts

_WIDEST = 32
"""Bits of constants that may change their sign."""


def pool_first(graph: Graph, wanted: Collection[str]) -> Graph:
    """The graph with its max pools as early as they can be; the graph itself if none can move.

    Args:
        graph: the network; stays as it is.
        wanted: names of the computed values that keep their meaning.
    """
    runs = {run[-1].name: run for node in graph.nodes if len(run := _run(graph, node, wanted)) > 1}
    if not runs:
        return graph
    inside = {node.name for run in runs.values() for node in run[:-1]}
    negated = {node.name: signs for run in runs.values() for node, signs in _negated(graph, run)}
    build = GraphBuilder(graph.name)
    values = {name: build.input(name, graph.values[name].type, graph.values[name].shape) for name in graph.inputs}
    for value in graph.values.values():
        if value.constant is not None:
            values[value.name] = build.constant(value.name, value.type, value.constant)
    for node in graph.nodes:
        if node.name in inside:
            continue
        if node.name in runs:
            values[node.name] = _pooled(build, values, graph, runs[node.name])
        else:
            operands = [values[name] for name in node.inputs]
            if node.name in negated:
                operands[1:] = [_signed(build, node, value, negated[node.name]) for value in operands[1:]]
            values[node.name] = build.add(node.name, node.op, *operands, source=node.source)
    return build.build(*(values[name] for name in graph.outputs), host=graph.host, after="pool_first")


def _run(graph: Graph, pool: Node, wanted: Collection[str]) -> list[Node]:
    """The nodes that `pool` can go before, then `pool`."""
    run = [pool]
    if not (isinstance(pool.op, MaxPool2d) and _reduces(pool.op, graph.operands(pool)[0])):
        return run
    computed = {node.name: node for node in graph.nodes}
    while (before := computed.get(run[0].inputs[0])) is not None and _alone(graph, before, wanted):
        if not (_keeps_order(graph, before) or _takes_signs(graph, before, wanted)):
            break
        run.insert(0, before)
    return run


def _reduces(op: MaxPool2d, x: Value) -> bool:
    """Whether there are fewer windows than pixels, and none of them lies in the padding alone."""
    _, shape = op.infer([x])
    for axis, windows in enumerate(shape[1:]):
        first = np.arange(windows) * op.stride[axis] - op.padding[axis]
        taps = first[:, None] + np.arange(op.kernel[axis]) * op.dilation[axis]
        if not ((taps >= 0) & (taps < x.shape[1 + axis])).any(1).all():
            return False
    return math.prod(shape) < x.size


def _alone(graph: Graph, node: Node, wanted: Collection[str]) -> bool:
    """Whether one node reads its value and nobody else wants it."""
    return len(graph.consumers(node.name)) == 1 and node.name not in wanted and node.name not in graph.outputs


def _keeps_order(graph: Graph, node: Node) -> bool:
    return node.op.keeps_order(graph.operands(node))


def _takes_signs(graph: Graph, node: Node, wanted: Collection[str]) -> bool:
    """Whether this is an affine, and the convolution before it can change its sign channel by channel."""
    if not isinstance(node.op, Affine):
        return False
    x, scale, _ = graph.operands(node)
    if x.name in graph.inputs or scale.size not in (1, x.channels) or scale.type.width > _WIDEST:
        return False
    product = graph.node(x.name)
    constants = graph.operands(product)[1:]
    narrow = all(value.constant is not None and value.type.width <= _WIDEST for value in constants)
    return isinstance(product.op, SumOfProducts) and narrow and _alone(graph, product, wanted)


def _negated(graph: Graph, run: Sequence[Node]) -> list[tuple[Node, IntArray]]:
    """The convolution before a run whose affine has negative scales, and the sign of each of its channels."""
    for node in run[:-1]:
        if not _keeps_order(graph, node):
            product, scale = graph.node(node.inputs[0]), graph.operands(node)[1].codes
            return [(product, np.broadcast_to(np.where(scale < 0, -1, 1), graph.values[product.name].channels))]
    return []


def _pooled(build: GraphBuilder, values: dict[str, Value], graph: Graph, run: Sequence[Node]) -> Value:
    """The pool, then the rest of the run; the last result has the pool's name, the pool that of the last result before."""
    *moved, pool = run
    result = build.add(moved[-1].name, pool.op, values[run[0].inputs[0]], source=pool.source)
    for node, name in zip(moved, [*(node.name for node in moved[:-1]), pool.name], strict=True):
        constants = [values[other] for other in node.inputs[1:]]
        if not _keeps_order(graph, node):
            constants[0] = _signed(build, node, constants[0], np.sign(constants[0].codes))
        result = build.add(name, node.op, result, *constants, source=node.source)
    return result


def _signed(build: GraphBuilder, node: Node, value: Value, signs: IntArray) -> Value:
    """A constant times a sign per channel, with a bit more."""
    type = FixedType(True, value.type.width + 1, value.type.frac)
    codes = value.codes * signs.reshape(-1, *[1] * (len(value.shape) - 1))
    return build.constant(f"{node.name}/{value.name}", type, codes)
