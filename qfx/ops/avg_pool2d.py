"""avg_pool2d: an exact window sum, divided by a shift of the binary point or times a fixed-point reciprocal.

    area a power of two:  code = sum of the window's codes,         frac = fx + log2(area)
    otherwise:            code = sum * r,  r = floor(2**fr / area + 1/2),   frac = fx + fr

Padding counts as zeros in the sum and in the area, as torch's count_include_pad=True.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Pair, Sample, Shape
from qfx.ops.max_pool2d import check_pool
from qfx.ops.onnx_conv import conv_form
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation
from qfx.ops.windows import output_size, windows


@dataclass(frozen=True)
class AvgPool2d(Op):
    """Average over windows of x (channel, height, width).

    Attributes:
        kernel, stride, padding: (vertical, horizontal); padding at most half the kernel.
        reciprocal: unsigned format of the constant 1/area; None where the area is a power of two.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    reciprocal: FixedType | None = None

    kind: ClassVar[str] = "avg_pool2d"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    @property
    def area(self) -> int:
        """Elements of a window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def multiplier(self) -> int:
        """Code of the reciprocal; 1 where the area is a power of two."""
        if self.reciprocal is None:
            return 1
        return ((2 << self.reciprocal.frac) + self.area) // (2 * self.area)

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        check_pool(self.kind, x, self.kernel, self.padding)
        self._check_reciprocal()
        factor = self.area * self.multiplier
        shift = self.area.bit_length() - 1 if self.reciprocal is None else self.reciprocal.frac
        type = FixedType.for_range(x.type.min_int * factor, x.type.max_int * factor, x.type.frac + shift)
        return type, (x.channels, *output_size((x.shape[1], x.shape[2]), self.kernel, self.stride, self.padding))

    def _check_reciprocal(self) -> None:
        power_of_two = self.area & (self.area - 1) == 0
        if self.reciprocal is None:
            if not power_of_two:
                raise GraphError(f"avg_pool2d: an area of {self.area} is no power of two and needs a reciprocal format")
            return
        if power_of_two:
            raise GraphError(f"avg_pool2d: an area of {self.area} is a power of two; leave the reciprocal out")
        if self.reciprocal.signed or self.reciprocal.frac < 0 or not 1 <= self.multiplier <= self.reciprocal.max_int:
            raise GraphError(
                f"avg_pool2d: 1/{self.area} has the code {self.multiplier} in {self.reciprocal!r}; choose another format"
            )

    def bound(self, operands: Sequence[Value]) -> int:
        return operands[0].type.max_abs * self.area * self.multiplier

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        return windows(arrays[0], self.kernel, self.stride, self.padding).sum(axis=(4, 5)) * self.multiplier

    def cost(self, operands: Sequence[Value]) -> Cost:
        _, (channels, oh, ow) = self.infer(operands)
        results = channels * oh * ow
        return Cost(0 if self.reciprocal is None else results, 0, results * (self.area - 1))

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        (x,) = operands
        ones = np.ones((x.channels, 1, *self.kernel), np.int64)
        total = conv_form(form, x.type, ones, {"strides": self.stride, "pads": self.padding * 2, "group": x.channels})
        total = form.cast(total, form.carrier)
        if self.reciprocal is None:
            return total
        return form.node("Mul", total, form.constant(self.multiplier, form.carrier))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 8, 3), (6, 7, 6))
        u4 = activation("x", FixedType(False, 4, 2), (16, 4, 4))
        return (
            Sample("2x2", cls((2, 2), (2, 2)), (x,)),
            Sample("global, power of two", cls((4, 4), (4, 4)), (u4,)),
            Sample("3x3, padded", cls((3, 3), (2, 1), (1, 1), FixedType(False, 8, 11)), (x,)),
            Sample("2x3, beyond float32", cls((2, 3), (1, 1), reciprocal=FixedType(False, 16, 18)), (x,)),
            Sample("sum beyond float32", cls((4, 4), (2, 2)), (activation("x", FixedType(True, 26, 3), (2, 5, 5)),)),
        )
