"""avg_pool2d: an exact window sum, divided by a shift of the binary point or times a fixed-point reciprocal.

    area a power of two:  code = sum of the window's codes,         frac = fx + log2(area)
    otherwise:            code = sum * r,  r = floor(2**fr / area + 1/2),   frac = fx + fr

Padding counts as zeros in the sum. It counts in the area, too, with include_pad, and never where it is `extra`; then windows that
overlap it have smaller areas and r depends on the position.
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
from qfx.ops.onnx_conv import conv_form, pads_of
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation
from qfx.ops.windows import output_size, windows


@dataclass(frozen=True)
class AvgPool2d(Op):
    """Average over windows of x (channel, height, width).

    Attributes:
        kernel, stride, padding: (vertical, horizontal); padding at most half the kernel.
        reciprocal: unsigned format of the constants 1/area; None where all areas are one power of two.
        extra: more rows of padding below, more columns to the right, as torch's ceil_mode has them.
        include_pad: whether padding counts in the area.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    reciprocal: FixedType | None = None
    extra: Pair = (0, 0)
    include_pad: bool = True

    kind: ClassVar[str] = "avg_pool2d"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    @property
    def area(self) -> int:
        """Elements of a window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def uniform(self) -> bool:
        """Whether every window has the same area."""
        return max(self.extra) == 0 and (self.include_pad or max(self.padding) == 0)

    def areas(self, image: Pair) -> IntArray:
        """Area of each window (out height, out width) on an image of this size."""
        rows, columns = (
            _extents(image[axis], size, self.kernel[axis], self.stride[axis], self.padding[axis], self.include_pad)
            for axis, size in enumerate(self._output_size(image))
        )
        return rows[:, None] * columns

    def multipliers(self, image: Pair) -> IntArray:
        """Code of 1/area for each window (out height, out width); ones without a reciprocal."""
        areas = self.areas(image)
        if self.reciprocal is None:
            return np.ones_like(areas)
        return ((2 << self.reciprocal.frac) + areas) // (2 * areas)

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        check_pool(self.kind, x, self.kernel, self.padding)
        image = (x.shape[1], x.shape[2])
        self._check_reciprocal(image)
        factor = int((self.areas(image) * self.multipliers(image)).max())
        shift = self.area.bit_length() - 1 if self.reciprocal is None else self.reciprocal.frac
        type = FixedType.for_range(x.type.min_int * factor, x.type.max_int * factor, x.type.frac + shift)
        return type, (x.channels, *self._output_size(image))

    def _output_size(self, image: Pair) -> Pair:
        return output_size(image, self.kernel, self.stride, self.padding, extra=self.extra)

    def _check_reciprocal(self, image: Pair) -> None:
        power_of_two = self.area & (self.area - 1) == 0 and self.uniform
        if self.reciprocal is None:
            if not power_of_two:
                areas = sorted(set(self.areas(image).ravel().tolist()))
                what = f"an area of {self.area} is no power of two and needs" if self.uniform else f"windows of areas {areas} need"
                raise GraphError(f"avg_pool2d: {what} a reciprocal format")
            return
        if power_of_two:
            raise GraphError(f"avg_pool2d: an area of {self.area} is a power of two; leave the reciprocal out")
        codes = self.multipliers(image)
        if self.reciprocal.signed or self.reciprocal.frac < 0 or codes.min() < 1 or codes.max() > self.reciprocal.max_int:
            raise GraphError(f"avg_pool2d: 1/{self.area} has the code {codes.min()} in {self.reciprocal!r}; choose another format")

    def bound(self, operands: Sequence[Value]) -> int:
        (x,) = operands
        image = (x.shape[1], x.shape[2])
        return x.type.max_abs * int((self.areas(image) * self.multipliers(image)).max())

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        (x,) = operands
        view = windows(arrays[0], self.kernel, self.stride, self.padding, extra=self.extra)
        return view.sum(axis=(4, 5)) * self.multipliers((x.shape[1], x.shape[2]))

    def cost(self, operands: Sequence[Value]) -> Cost:
        _, (channels, oh, ow) = self.infer(operands)
        results = channels * oh * ow
        return Cost(0 if self.reciprocal is None else results, 0, results * (self.area - 1))

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        (x,) = operands
        ones = np.ones((x.channels, 1, *self.kernel), np.int64)
        pads = pads_of(self.padding, self.extra)
        total = conv_form(form, x.type, ones, {"strides": self.stride, "pads": pads, "group": x.channels})
        total = form.cast(total, form.accumulator)
        if self.reciprocal is None:
            return total
        return form.node("Mul", total, form.constant(self.multipliers((x.shape[1], x.shape[2])), form.accumulator))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 8, 3), (6, 7, 6))
        u4 = activation("x", FixedType(False, 4, 2), (16, 4, 4))
        return (
            Sample("2x2", cls((2, 2), (2, 2)), (x,)),
            Sample("global, power of two", cls((4, 4), (4, 4)), (u4,)),
            Sample("3x3, padded", cls((3, 3), (2, 1), (1, 1), FixedType(False, 8, 11)), (x,)),
            Sample("2x3, beyond float32", cls((2, 3), (1, 1), reciprocal=FixedType(False, 16, 18)), (x,)),
            Sample("ceil mode", cls((2, 2), (2, 2), (0, 0), FixedType(False, 10, 10), (1, 0)), (x,)),
            Sample("padding left out", cls((3, 3), (2, 1), (1, 1), FixedType(False, 8, 9), include_pad=False), (x,)),
            Sample("sum beyond float32", cls((4, 4), (2, 2)), (activation("x", FixedType(True, 26, 3), (2, 5, 5)),)),
        )


def _extents(image: int, out: int, kernel: int, stride: int, padding: int, include_pad: bool) -> IntArray:
    """Per window along one axis: the elements that count."""
    starts = np.arange(out, dtype=np.int64) * stride - padding
    ends = np.minimum(starts + kernel, image + (padding if include_pad else 0))
    return ends - (starts if include_pad else np.maximum(starts, 0))
