"""reshape: the same codes under another shape, in row-major (channel-major) order, as torch.reshape."""

from __future__ import annotations

import math
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
class Reshape(Op):
    """Relabels x.

    Attributes:
        shape: of the result, without the batch axis.
    """

    shape: Shape

    kind: ClassVar[str] = "reshape"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        if math.prod(self.shape) != x.size or min(self.shape, default=0) < 1:
            raise GraphError(f"reshape: {x.shape} has {x.size} elements, {self.shape} has {math.prod(self.shape)}")
        return x.type, self.shape

    def bound(self, operands: Sequence[Value]) -> int:
        return operands[0].type.max_abs

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        return arrays[0].reshape(len(arrays[0]), *self.shape)

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost()

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        return form.node("Reshape", form.operand(0), form.constant([-1, *self.shape], "int64"))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 5, 3), (6, 3, 4))
        return (
            Sample("flatten", cls((72,)), (x,)),
            Sample("flatten one pixel", cls((16,)), (activation("x", FixedType(False, 4, 3), (16, 1, 1)),)),
            Sample("to an image", cls((4, 3, 3)), (activation("x", FixedType(True, 7, -2), (36,)),)),
            Sample("image to image", cls((8, 3, 3)), (x,)),
        )
