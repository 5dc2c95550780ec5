"""pad: an image with padding of one constant code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Pair, Sample, Shape
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Pad(Op):
    """Padding round x (channel, height, width).

    Attributes:
        before: rows above, columns to the left.
        after: rows below, columns to the right.
        code: of the padding, in the format of x; 0 is the real value 0.
    """

    before: Pair
    after: Pair
    code: int = 0

    kind: ClassVar[str] = "pad"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        if len(x.shape) != 3:
            raise GraphError(f"pad wants x (C, H, W), not {x.shape}")
        if min(*self.before, *self.after) < 0:
            raise GraphError(f"pad: before {self.before} or after {self.after} is negative; slice to crop")
        if not x.type.min_int <= self.code <= x.type.max_int:
            raise GraphError(f"pad: the code {self.code} does not fit {x.type!r}; requantize x to a format that holds it")
        height, width = (n + b + a for n, b, a in zip(x.shape[1:], self.before, self.after, strict=True))
        return x.type, (x.channels, height, width)

    def bound(self, operands: Sequence[Value]) -> int:
        return operands[0].type.max_abs

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        border = ((0, 0), (0, 0), *zip(self.before, self.after, strict=True))
        return np.pad(arrays[0], border, constant_values=self.code)

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost()

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        pads = form.constant([0, 0, *self.before, 0, 0, *self.after], "int64")
        return form.node("Pad", form.operand(0), pads, form.constant(self.code, form.accumulator))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 5, 3), (6, 3, 4))
        return (
            Sample("all sides, zeros", cls((1, 2), (3, 1)), (x,)),
            Sample("right and below, another code", cls((0, 0), (1, 2), -7), (x,)),
            Sample("beyond float32", cls((1, 0), (0, 1)), (activation("x", FixedType(True, 27, 3), (2, 2, 2)),)),
        )
