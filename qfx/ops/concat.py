"""concat: values one after the other along the channels, exact on the finest of their grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape, align
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Concat(Op):
    """Two or more values of equal (height, width), channels one after the other; the formats may differ."""

    kind: ClassVar[str] = "concat"
    operand_names: ClassVar[tuple[str, ...]] = ("a", "b")
    variadic: ClassVar[bool] = True

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        for value in operands[1:]:
            if value.shape[1:] != operands[0].shape[1:]:
                raise GraphError(f"concat: shapes {operands[0].shape} and {value.shape} differ beyond the channels")
        frac = max(v.type.frac for v in operands)
        low = min(v.type.min_int << (frac - v.type.frac) for v in operands)
        high = max(v.type.max_int << (frac - v.type.frac) for v in operands)
        return FixedType.for_range(low, high, frac), (sum(v.channels for v in operands), *operands[0].shape[1:])

    def bound(self, operands: Sequence[Value]) -> int:
        frac = max(v.type.frac for v in operands)
        return max(v.type.max_abs << (frac - v.type.frac) for v in operands)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        frac = max(v.type.frac for v in operands)
        return np.concatenate([align(a, v.type.frac, frac) for a, v in zip(arrays, operands, strict=True)], axis=1)

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost()

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        frac = max(v.type.frac for v in operands)
        parts = [form.scale(form.operand(i), frac - v.type.frac) for i, v in enumerate(operands)]
        return form.node("Concat", *parts, attributes={"axis": 1})

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        s5, u4, s3 = FixedType(True, 5, 2), FixedType(False, 4, 6), FixedType(True, 3, -1)
        image = activation("a", s5, (4, 3, 2))
        return (
            Sample("equal formats", cls(), (image, activation("b", s5, (4, 3, 2)))),
            Sample("other channels and formats", cls(), (image, activation("b", u4, (6, 3, 2)))),
            Sample("three, odd channels", cls(), (image, activation("b", u4, (1, 3, 2)), activation("c", s3, (5, 3, 2)))),
            Sample("features", cls(), (activation("a", u4, (7,)), activation("b", s3, (3,)))),
            Sample(
                "beyond float32",
                cls(),
                (activation("a", FixedType(True, 20, 0), (2, 2, 2)), activation("b", FixedType(True, 8, 14), (2, 2, 2))),
            ),
        )
