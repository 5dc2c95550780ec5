"""relu: max(x, 0), exact; the result is unsigned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class ReLU(Op):
    """Rectified linear unit on x (any shape)."""

    kind: ClassVar[str] = "relu"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        return FixedType.for_range(0, x.type.max_int, x.type.frac), x.shape

    def bound(self, operands: Sequence[Value]) -> int:
        return operands[0].type.max_abs

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        return np.maximum(arrays[0], 0)

    def keeps_order(self, operands: Sequence[Value]) -> bool:
        return True

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost(additions=operands[0].size)

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        return form.node("Relu", form.operand(0))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        return (
            Sample("signed", cls(), (activation("x", FixedType(True, 9, 4), (6, 3, 3)),)),
            Sample("unsigned passes", cls(), (activation("x", FixedType(False, 4, 4), (6,)),)),
            Sample("1-bit signed is always zero", cls(), (activation("x", FixedType(True, 1, -1), (5,)),)),
            Sample("beyond float32", cls(), (activation("x", FixedType(True, 30, 4), (5,)),)),
        )
