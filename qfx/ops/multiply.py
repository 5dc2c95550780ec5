"""multiply: the exact product of two computed values, what squeeze-and-excite gates with.

result[c, i, j] = a[c, i, j] * b[c, i, j]      b may be (channel, 1, 1), one factor per channel
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Multiply(Op):
    """Element-wise a * b; b has the shape of a, or one element per channel."""

    kind: ClassVar[str] = "multiply"
    operand_names: ClassVar[tuple[str, ...]] = ("a", "b")

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        a, b = operands
        if b.shape not in (a.shape, (a.channels, *(1 for _ in a.shape[1:]))):
            raise GraphError(f"multiply: {b.shape} is neither {a.shape} nor one element per channel of it")
        ends = [x * y for x in (a.type.min_int, a.type.max_int) for y in (b.type.min_int, b.type.max_int)]
        return FixedType.for_range(min(ends), max(ends), a.type.frac + b.type.frac), a.shape

    def bound(self, operands: Sequence[Value]) -> int:
        a, b = operands
        return a.type.max_abs * b.type.max_abs

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        return arrays[0] * arrays[1]

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost(multiplications=operands[0].size)

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        return form.node("Mul", form.operand(0), form.operand(1))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        a = activation("a", FixedType(True, 6, 2), (10, 3, 4))
        return (
            Sample("equal shapes", cls(), (a, activation("b", FixedType(True, 5, 4), a.shape))),
            Sample("one factor per channel", cls(), (a, activation("b", FixedType(False, 4, 4), (10, 1, 1)))),
            Sample(
                "features, negative frac",
                cls(),
                (activation("a", FixedType(False, 3, -3), (9,)), activation("b", FixedType(True, 1, 2), (9,))),
            ),
            Sample(
                "beyond float32",
                cls(),
                (activation("a", FixedType(True, 17, 5), (2, 2, 2)), activation("b", FixedType(False, 12, 14), (2, 1, 1))),
            ),
        )
