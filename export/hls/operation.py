"""A node with its values: what a kernel is chosen, folded and costed for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from qfx.export.hls.signed_digits import SignedDigits
from qfx.ir import Graph, Node, Value
from qfx.ops.base import Op

T = TypeVar("T", bound=Op, covariant=True)

Likeness = tuple[object, ...]
"""Equal for operations that cost the same under the same fold."""


@dataclass(frozen=True)
class Operation(Generic[T]):
    """A node and its values.

    Attributes:
        name: of the node.
        op: what it computes.
        operands: all operands, in order.
        out: its result.
    """

    name: str
    op: T
    operands: tuple[Value, ...]
    out: Value

    @cached_property
    def streams(self) -> tuple[Value, ...]:
        """Operands that are computed."""
        return tuple(value for value in self.operands if value.constant is None)

    @property
    def x(self) -> Value:
        """The first operand."""
        return self.operands[0]

    @cached_property
    def digits(self) -> SignedDigits:
        """Signed digits of the second operand, a constant."""
        return SignedDigits.of(self.operands[1])

    @cached_property
    def factor_range(self) -> tuple[int, int]:
        """Least and largest code of the second operand, a constant."""
        codes = self.operands[1].codes
        return int(codes.min()), int(codes.max())

    @cached_property
    def likeness(self) -> Likeness:
        """All that a cost can depend on: attributes, formats, shapes, and of the factors their digits and their range."""
        values = tuple((value.type, value.shape, value.constant is None) for value in (*self.operands, self.out))
        constants = len(self.operands) > 1 and self.operands[1].constant is not None
        return (self.op, values, (self.digits.count, self.digits.shift_bits, self.factor_range) if constants else ())


def operation_of(graph: Graph, node: Node) -> Operation[Op]:
    """The operation of a node."""
    return Operation(node.name, node.op, graph.operands(node), graph.values[node.name])
