"""Constants multiplied by shifts and additions: every integer is a sum of signed powers of two, so nothing is rounded.

1. `with_khot`: a named node that multiplies by constants declares them K-hot; K is the most signed digits that one of them has, at
   least 1.
2. `with_khot`: a named node that is K-hot already stays as it is, even if fewer digits would do.
3. `multiplier_free`: every node that multiplies by constants is rewritten as by `with_khot`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from qfx.errors import ExportError
from qfx.ir.graph import Graph, Node
from qfx.ops.base import signed_digits
from qfx.ops.multiplying import MultipliesByConstants


def with_khot(graph: Graph, names: Collection[str]) -> Graph:
    """The graph with K-hot products in the nodes `names`: rewrites 1 and 2.

    Raises:
        ExportError: a name that the graph lacks, or a node that multiplies by no constant.
    """
    known = {node.name: node for node in graph.nodes}
    for name in names:
        if name not in known:
            raise ExportError(f"the graph has no node {name!r}, for which K-hot products are asked; it has {', '.join(known)}")
        if not isinstance(known[name].op, MultipliesByConstants):
            raise ExportError(f"node {name!r} ({known[name].op.kind}) multiplies by no constants, so that none can be K-hot")
    nodes = [_khot(graph, node) if node.name in names else node for node in graph.nodes]
    return Graph(graph.name, graph.values, nodes, graph.inputs, graph.outputs, graph.host).verify(after="k_hot")


def _khot(graph: Graph, node: Node) -> Node:
    if not isinstance(node.op, MultipliesByConstants) or node.op.digits is not None:
        return node
    most = int(signed_digits(graph.operands(node)[1].codes).max(initial=1))
    return replace(node, op=node.op.khot(most))


def multiplier_free(graph: Graph) -> Graph:
    """The graph without a multiplication, all constants K-hot: rewrite 3.

    Raises:
        ExportError: nodes that multiply two computed values, or sums by the reciprocal of an area; all are named.
    """
    multiplying = [
        node.name
        for node in graph.nodes
        if not isinstance(node.op, MultipliesByConstants) and node.op.cost(graph.operands(node)).multiplications
    ]
    if multiplying:
        raise ExportError(
            f"graph {graph.name!r} cannot do without multiplications: {', '.join(multiplying)}; they multiply computed values, or"
            " sums by the reciprocal of an area that is no power of two"
        )
    return with_khot(graph, [node.name for node in graph.nodes if isinstance(node.op, MultipliesByConstants)])
