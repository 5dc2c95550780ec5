"""shift: x times a power of two, exact and free: the same codes, the binary point moved.

result = x * 2**power
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Shift(Op):
    """Moves the binary point of x (any shape).

    Attributes:
        power: places to the right; negative ones to the left.
    """

    power: int

    kind: ClassVar[str] = "shift"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        return FixedType(x.type.signed, x.type.width, x.type.frac - self.power), x.shape

    def bound(self, operands: Sequence[Value]) -> int:
        return operands[0].type.max_abs

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        return arrays[0]

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost()

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        return form.operand(0)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        return (
            Sample("a half", cls(-1), (activation("x", FixedType(True, 5, 3), (4, 3, 2)),)),
            Sample("times 8, unsigned", cls(3), (activation("x", FixedType(False, 4, 1), (9,)),)),
            Sample("beyond float32", cls(-4), (activation("x", FixedType(True, 30, 3), (6,)),)),
        )
