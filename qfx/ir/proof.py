"""The exactness proof: per node the largest intermediate, and the narrowest accumulator that holds it (invariant 4)."""

from __future__ import annotations

from dataclasses import dataclass

from qfx.errors import ExactnessError
from qfx.exact import accumulator_dtype
from qfx.ir.graph import Graph


@dataclass(frozen=True)
class Proof:
    """Why a node is exact.

    Attributes:
        name: of the node.
        kind: of its op.
        bound: largest magnitude of any intermediate integer.
        accumulator: dtype `float32`, `float64` or `int64`; the first whose limit (2**24, 2**53, 2**63) is above the bound.
    """

    name: str
    kind: str
    bound: int
    accumulator: str

    @property
    def bits(self) -> int:
        """Bits of the bound."""
        return self.bound.bit_length()


def prove(graph: Graph) -> dict[str, Proof]:
    """The proof of every node, by name, in topological order.

    Raises:
        ExactnessError: a node's bound exceeds every accumulator; names the node and the operand formats.
    """
    proofs: dict[str, Proof] = {}
    for node in graph.nodes:
        operands = graph.operands(node)
        bound = node.op.bound(operands)
        try:
            proofs[node.name] = Proof(node.name, node.op.kind, bound, accumulator_dtype(bound))
        except ExactnessError as error:
            types = ", ".join(f"{value.name} {value.type.ap_name}" for value in operands)
            raise ExactnessError(f"node {node.name!r} ({node.op.kind} of {types}): {error}") from error
    return proofs
