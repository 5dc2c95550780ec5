"""minimum: the smaller of two values, place by place, on the finer of their grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape, align
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.ranges import common_grid
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Minimum(Op):
    """Element-wise min(a, b) of equal shapes; the formats may differ."""

    kind: ClassVar[str] = "minimum"
    operand_names: ClassVar[tuple[str, ...]] = ("a", "b")

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        a, b = operands
        frac, ((a_low, a_high), (b_low, b_high)) = common_grid(self.kind, a, b)
        return FixedType.for_range(min(a_low, b_low), min(a_high, b_high), frac), a.shape

    def bound(self, operands: Sequence[Value]) -> int:
        frac = max(v.type.frac for v in operands)
        return max(v.type.max_abs << (frac - v.type.frac) for v in operands)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        frac = max(v.type.frac for v in operands)
        return np.minimum(*(align(codes, v.type.frac, frac) for codes, v in zip(arrays, operands, strict=True)))

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost(additions=operands[0].size)

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        frac = max(v.type.frac for v in operands)
        return form.node("Min", *(form.scale(form.operand(i), frac - v.type.frac) for i, v in enumerate(operands)))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        def sample(label: str, a: FixedType, b: FixedType, *shape: int) -> Sample:
            return Sample(label, cls(), (activation("a", a, shape), activation("b", b, shape)))

        return (
            sample("equal formats", FixedType(True, 5, 2), FixedType(True, 5, 2), 4, 3, 3),
            sample("signed and unsigned, different binary points", FixedType(True, 5, 2), FixedType(False, 4, 6), 4, 3, 3),
            sample("both unsigned", FixedType(False, 4, 0), FixedType(False, 3, 3), 2, 3, 3),
            sample("one bit and a negative frac", FixedType(False, 3, -3), FixedType(True, 1, 2), 9),
            sample("beyond float32", FixedType(True, 20, 0), FixedType(True, 8, 14), 9),
        )
