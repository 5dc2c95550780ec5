"""argmax: the index of the greatest feature; of equals, the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class ArgMax(Op):
    """Index of the greatest of x (feature,), as one unsigned integer (1,)."""

    kind: ClassVar[str] = "argmax"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)
    lossy: ClassVar[bool] = True

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        if len(x.shape) != 1:
            raise GraphError(f"argmax wants x (F,), not {x.shape}; flatten x first")
        return FixedType.for_range(0, x.size - 1, 0), (1,)

    def bound(self, operands: Sequence[Value]) -> int:
        return max(operands[0].type.max_abs, operands[0].size)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        return np.argmax(arrays[0], axis=1)[:, None].astype(np.int64)

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost(additions=operands[0].size - 1)

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        index = form.node("ArgMax", form.operand(0), attributes={"axis": 1, "keepdims": 1, "select_last_index": 0}, dtype="int64")
        return form.cast(index, form.accumulator)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        return (
            Sample("ten classes, ties", cls(), (activation("x", FixedType(True, 3, 1), (10,)),)),
            Sample("odd count", cls(), (activation("x", FixedType(False, 9, 3), (7,)),)),
            Sample("one", cls(), (activation("x", FixedType(True, 5, 3), (1,)),)),
            Sample("beyond float32", cls(), (activation("x", FixedType(True, 27, 3), (6,)),)),
        )
