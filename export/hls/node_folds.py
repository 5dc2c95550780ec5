"""The folds that a node's kernel can have, with its cycles and its cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qfx.errors import ExportError
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Fold, Folding
from qfx.export.hls.kernels import kernel_class, kernel_of
from qfx.export.hls.kernels.op import FIFO_DEPTH
from qfx.export.hls.operation import Likeness, Operation, operation_of
from qfx.ir import Graph, Node
from qfx.ops.base import Op


def choices(graph: Graph, node: Node) -> Iterator[Fold]:
    """Every fold that the node's kernel can have.

    Raises:
        ExportError: an op that has no kernel.
    """
    operation = operation_of(graph, node)
    return kernel_class(operation).folds(operation)


def plain_folding(graph: Graph) -> dict[str, Fold]:
    """Up to MAX_LANES codes per word everywhere, one kernel position per cycle: only groups of channels need converters."""
    return {node.name: plain_fold(graph, node) for node in graph.nodes}


def plain_fold(graph: Graph, node: Node) -> Fold:
    """The node's entry of `plain_folding`."""
    operation = operation_of(graph, node)
    return kernel_class(operation).plain(operation)


def check_folding(graph: Graph, folding: Folding) -> None:
    """Whether every node has a fold that its kernel can have.

    Raises:
        ExportError: a node without one, or with one that does not fit; the message lists what fits.
    """
    for node in graph.nodes:
        if node.name not in folding:
            raise ExportError(f"the folding has no entry for node {node.name!r}")
        if folding[node.name] == plain_fold(graph, node):
            continue
        fitting = list(choices(graph, node))
        if folding[node.name] not in fitting:
            raise ExportError(f"node {node.name!r} cannot fold as {folding[node.name].text}; it can as {_texts(fitting)}")


def _texts(folds: list[Fold], most: int = 12) -> str:
    more = f" and {len(folds) - most} more" if len(folds) > most else ""
    return "; ".join(fold.text for fold in folds[:most]) + more


def node_cycles(graph: Graph, node: Node, fold: Fold) -> int:
    """Cycles per frame of the slower of the node's stages; 0 if it has none."""
    return kernel_of(operation_of(graph, node), fold).cycles


@dataclass(frozen=True)
class Candidate:
    """A fold of a node, and what it gives.

    Attributes:
        cycles: per frame, of the slower of the node's stages.
        cost: resource usage of the node's stages, with FIFOs of two words behind them.
    """

    fold: Fold
    cycles: int
    cost: Resources


class Candidates:
    """The nodes of a graph under the folds that they can have; layers that are alike are costed once.

    Args:
        graph: a verified graph.
    """

    def __init__(self, graph: Graph) -> None:
        self._operations = {node.name: operation_of(graph, node) for node in graph.nodes}
        self._known: dict[tuple[Likeness, Fold], Candidate] = {}

    def operation(self, node: Node) -> Operation[Op]:
        """The node with its values."""
        return self._operations[node.name]

    def folds(self, node: Node) -> Iterator[Fold]:
        """Every fold that the node's kernel can have."""
        operation = self.operation(node)
        return kernel_class(operation).folds(operation)

    def of(self, node: Node, fold: Fold) -> Candidate:
        """The node under a fold, by one kernel."""
        operation = self.operation(node)
        key = (operation.likeness, fold)
        if key not in self._known:
            kernel = kernel_of(operation, fold)
            self._known[key] = Candidate(fold, kernel.cycles, kernel.node_resources(FIFO_DEPTH))
        return self._known[key]
