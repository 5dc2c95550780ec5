"""add: the exact sum of two values on the finer of their grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape, align
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Add(Op):
    """Element-wise a + b of equal shapes; the formats may differ."""

    kind: ClassVar[str] = "add"
    operand_names: ClassVar[tuple[str, ...]] = ("a", "b")

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        a, b = operands
        if a.shape != b.shape:
            raise GraphError(f"add: shapes {a.shape} and {b.shape} differ; broadcasting is not supported")
        frac = max(a.type.frac, b.type.frac)
        low = sum(v.type.min_int << (frac - v.type.frac) for v in operands)
        high = sum(v.type.max_int << (frac - v.type.frac) for v in operands)
        return FixedType.for_range(low, high, frac), a.shape

    def bound(self, operands: Sequence[Value]) -> int:
        frac = max(v.type.frac for v in operands)
        return sum(v.type.max_abs << (frac - v.type.frac) for v in operands)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        frac = max(v.type.frac for v in operands)
        return align(arrays[0], operands[0].type.frac, frac) + align(arrays[1], operands[1].type.frac, frac)

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost(additions=operands[0].size)

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        frac = max(v.type.frac for v in operands)
        a, b = (form.scale(form.operand(i), frac - v.type.frac) for i, v in enumerate(operands))
        return form.node("Add", a, b)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        shape = (4, 3, 3)
        signed = activation("a", FixedType(True, 5, 2), shape)
        return (
            Sample("equal formats", cls(), (signed, activation("b", FixedType(True, 5, 2), shape))),
            Sample("signed and unsigned, different binary points", cls(), (signed, activation("b", FixedType(False, 4, 6), shape))),
            Sample(
                "negative frac",
                cls(),
                (activation("a", FixedType(False, 3, -3), (9,)), activation("b", FixedType(True, 1, 2), (9,))),
            ),
            Sample(
                "beyond float32",
                cls(),
                (activation("a", FixedType(True, 20, 0), (9,)), activation("b", FixedType(True, 8, 14), (9,))),
            ),
        )
