"""The exactness proof: per node the largest intermediate, and the cheapest carrier that holds it (law 4)."""

from __future__ import annotations

from dataclasses import dataclass

from qfx.errors import ExactnessError
from qfx.ir import Graph
from qfx.ops.ranges import carrier


@dataclass(frozen=True)
class Proof:
    """Why a node is exact.

    Attributes:
        name: of the node.
        kind: of its op.
        bound: largest magnitude of any intermediate integer.
        carrier: `float32`, `float64` or `int64`; the first whose limit (2**24, 2**53, 2**63) is above the bound.
    """

    name: str
    kind: str
    bound: int
    carrier: str

    @property
    def bits(self) -> int:
        """Bits of the bound."""
        return self.bound.bit_length()


def prove(graph: Graph) -> dict[str, Proof]:
    """The proof of every node, by name, in topological order.

    Raises:
        ExactnessError: a node's bound exceeds every carrier; names the node and the operand formats.
    """
    proofs: dict[str, Proof] = {}
    for node in graph.nodes:
        operands = graph.operands(node)
        bound = node.op.bound(operands)
        try:
            proofs[node.name] = Proof(node.name, node.op.kind, bound, carrier(bound))
        except ExactnessError as error:
            types = ", ".join(f"{value.name} {value.type.ap_name}" for value in operands)
            raise ExactnessError(f"node {node.name!r} ({node.op.kind} of {types}): {error}") from error
    return proofs
