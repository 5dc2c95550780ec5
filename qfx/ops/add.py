"""add: the exact sum or difference of two values on the finer of their grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape, align
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.ranges import common_grid
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Add(Op):
    """Element-wise a + b of equal shapes; the formats may differ.

    Attributes:
        minus: whether b is subtracted.
    """

    minus: bool = False

    kind: ClassVar[str] = "add"
    operand_names: ClassVar[tuple[str, ...]] = ("a", "b")

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        a, b = operands
        frac, ((a_low, a_high), (b_low, b_high)) = common_grid(self.kind, a, b)
        least, most = (-b_high, -b_low) if self.minus else (b_low, b_high)
        return FixedType.for_range(a_low + least, a_high + most, frac), a.shape

    def bound(self, operands: Sequence[Value]) -> int:
        frac = max(v.type.frac for v in operands)
        return sum(v.type.max_abs << (frac - v.type.frac) for v in operands)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        frac = max(v.type.frac for v in operands)
        a, b = (align(codes, v.type.frac, frac) for codes, v in zip(arrays, operands, strict=True))
        return a - b if self.minus else a + b

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost(additions=operands[0].size)

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        frac = max(v.type.frac for v in operands)
        a, b = (form.scale(form.operand(i), frac - v.type.frac) for i, v in enumerate(operands))
        return form.node("Sub" if self.minus else "Add", a, b)

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
            Sample("a difference", cls(minus=True), (signed, activation("b", FixedType(True, 4, 0), shape))),
            Sample(
                "a difference of unsigned ones",
                cls(minus=True),
                (activation("a", FixedType(False, 4, 6), shape), activation("b", FixedType(False, 5, 2), shape)),
            ),
            Sample(
                "a difference that is never negative",
                cls(minus=True),
                (activation("a", FixedType(False, 3, 1), (9,)), activation("b", FixedType(True, 1, 0), (9,))),
            ),
            Sample(
                "a difference beyond float32",
                cls(minus=True),
                (activation("a", FixedType(False, 24, 3), (9,)), activation("b", FixedType(True, 20, 7), (9,))),
            ),
            Sample(
                "beyond float32",
                cls(),
                (activation("a", FixedType(True, 20, 0), (9,)), activation("b", FixedType(True, 8, 14), (9,))),
            ),
        )
