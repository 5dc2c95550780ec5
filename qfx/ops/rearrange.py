"""rearrange: the same codes in another order: permute, pixel shuffle, channel shuffle.

result = transpose(reshape(x, dims), order) reshaped to `shape`
"""

from __future__ import annotations

import math
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
class Rearrange(Op):
    """Reorders x (any shape).

    Attributes:
        dims: shape that x is first given, row-major.
        order: axes of `dims` in their new order.
        shape: of the result.
    """

    dims: Shape
    order: Shape
    shape: Shape

    kind: ClassVar[str] = "rearrange"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        sizes = math.prod(self.dims), math.prod(self.shape)
        if sizes != (x.size, x.size) or min(*self.dims, *self.shape) < 1:
            raise GraphError(
                f"rearrange: {x.shape} has {x.size} elements, {self.dims} and {self.shape} have {sizes[0]} and {sizes[1]}"
            )
        if sorted(self.order) != list(range(len(self.dims))):
            raise GraphError(f"rearrange: {self.order} is no order of the {len(self.dims)} axes of {self.dims}")
        return x.type, self.shape

    def bound(self, operands: Sequence[Value]) -> int:
        return operands[0].type.max_abs

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        batch = len(arrays[0])
        moved = np.transpose(arrays[0].reshape(batch, *self.dims), (0, *(axis + 1 for axis in self.order)))
        return moved.reshape(batch, *self.shape)

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost()

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        split = form.node("Reshape", form.operand(0), form.constant([-1, *self.dims], "int64"))
        moved = form.node("Transpose", split, attributes={"perm": [0, *(axis + 1 for axis in self.order)]})
        return form.node("Reshape", moved, form.constant([-1, *self.shape], "int64"))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 5, 3), (12, 3, 4))
        return (
            Sample("pixel shuffle by 2", cls((3, 2, 2, 3, 4), (0, 3, 1, 4, 2), (3, 6, 8)), (x,)),
            Sample("channel shuffle, 3 groups", cls((3, 4, 3, 4), (1, 0, 2, 3), (12, 3, 4)), (x,)),
            Sample("height and width swapped", cls((12, 3, 4), (0, 2, 1), (12, 4, 3)), (x,)),
            Sample("features", cls((3, 5), (1, 0), (15,)), (activation("x", FixedType(False, 4, 9), (15,)),)),
            Sample("beyond float32", cls((2, 3), (1, 0), (6,)), (activation("x", FixedType(True, 27, 3), (6,)),)),
        )
