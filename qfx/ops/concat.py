"""concat: values one after the other along one axis, exact on the finest of their grids."""

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
    """Two or more values one after the other; the formats may differ.

    Attributes:
        axis: along which they follow each other, 0 for the channels; in all others they are equal.
    """

    axis: int = 0

    kind: ClassVar[str] = "concat"
    operand_names: ClassVar[tuple[str, ...]] = ("a", "b")
    variadic: ClassVar[bool] = True

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        first = operands[0].shape
        if not 0 <= self.axis < len(first):
            raise GraphError(f"concat: {first} has no axis {self.axis}")
        before, after = first[: self.axis], first[self.axis + 1 :]
        for value in operands[1:]:
            same = (value.shape[: self.axis], value.shape[self.axis + 1 :]) == (before, after)
            if not same or len(value.shape) != len(first):
                raise GraphError(f"concat: shapes {first} and {value.shape} differ in more than axis {self.axis}")
        frac = max(v.type.frac for v in operands)
        low = min(v.type.min_int << (frac - v.type.frac) for v in operands)
        high = max(v.type.max_int << (frac - v.type.frac) for v in operands)
        return FixedType.for_range(low, high, frac), (*before, sum(v.shape[self.axis] for v in operands), *after)

    def bound(self, operands: Sequence[Value]) -> int:
        frac = max(v.type.frac for v in operands)
        return max(v.type.max_abs << (frac - v.type.frac) for v in operands)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        frac = max(v.type.frac for v in operands)
        return np.concatenate([align(a, v.type.frac, frac) for a, v in zip(arrays, operands, strict=True)], axis=self.axis + 1)

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost()

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        frac = max(v.type.frac for v in operands)
        parts = [form.scale(form.operand(i), frac - v.type.frac) for i, v in enumerate(operands)]
        return form.node("Concat", *parts, attributes={"axis": self.axis + 1})

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        s5, u4, s3 = FixedType(True, 5, 2), FixedType(False, 4, 6), FixedType(True, 3, -1)
        image = activation("a", s5, (4, 3, 2))
        return (
            Sample("equal formats", cls(), (image, activation("b", s5, (4, 3, 2)))),
            Sample("other channels and formats", cls(), (image, activation("b", u4, (6, 3, 2)))),
            Sample("three, odd channels", cls(), (image, activation("b", u4, (1, 3, 2)), activation("c", s3, (5, 3, 2)))),
            Sample("features", cls(), (activation("a", u4, (7,)), activation("b", s3, (3,)))),
            Sample("rows", cls(1), (image, activation("b", u4, (4, 1, 2)), activation("c", s3, (4, 2, 2)))),
            Sample("columns", cls(2), (activation("a", s3, (12, 3, 2)), activation("b", u4, (12, 3, 5)))),
            Sample("a length", cls(1), (activation("a", u4, (5, 4)), activation("b", s5, (5, 3)))),
            Sample(
                "beyond float32",
                cls(),
                (activation("a", FixedType(True, 20, 0), (2, 2, 2)), activation("b", FixedType(True, 8, 14), (2, 2, 2))),
            ),
        )
