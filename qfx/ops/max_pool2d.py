"""max_pool2d: the largest code of each window, exact; padding never wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Pair, Sample, Shape
from qfx.ops.onnx_conv import pads_of
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation
from qfx.ops.windows import output_size, windows


@dataclass(frozen=True)
class MaxPool2d(Op):
    """Maximum over windows of x (channel, height, width).

    Attributes:
        kernel, stride, padding: (vertical, horizontal); padding at most half the kernel.
        dilation: distance of the elements of a window.
        extra: more rows of padding below, more columns to the right, as torch's ceil_mode has them.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    extra: Pair = (0, 0)

    kind: ClassVar[str] = "max_pool2d"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        check_pool(self.kind, x, self.kernel, self.padding)
        image = (x.shape[1], x.shape[2])
        size = output_size(image, self.kernel, self.stride, self.padding, self.dilation, self.extra)
        return x.type, (x.channels, *size)

    def bound(self, operands: Sequence[Value]) -> int:
        return operands[0].type.max_abs

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        fill = operands[0].type.min_int
        view = windows(arrays[0], self.kernel, self.stride, self.padding, self.dilation, self.extra, fill)
        return view.max(axis=(4, 5))

    def cost(self, operands: Sequence[Value]) -> Cost:
        _, (channels, oh, ow) = self.infer(operands)
        return Cost(additions=channels * oh * ow * (self.kernel[0] * self.kernel[1] - 1))

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        image, pads = form.operand(0), pads_of(self.padding, self.extra)
        if max(self.extra):  # ONNX Runtime wants every padding below the kernel
            border = form.constant([0, 0, *pads[:2], 0, 0, *pads[2:]], "int64")
            image = form.node("Pad", image, border, form.constant(operands[0].type.min_int, form.accumulator))
            pads = (0, 0, 0, 0)
        attributes = {"kernel_shape": self.kernel, "strides": self.stride, "pads": pads, "dilations": self.dilation}
        return form.node("MaxPool", image, attributes=attributes)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 5, 3), (6, 7, 6))
        return (
            Sample("2x2", cls((2, 2), (2, 2)), (x,)),
            Sample("3x2, overlapping, padded", cls((3, 2), (2, 1), (1, 1)), (x,)),
            Sample("dilated", cls((2, 2), (1, 2), (0, 1), (3, 2)), (x,)),
            Sample("ceil mode", cls((2, 3), (2, 2), (0, 1), (1, 1), (1, 1)), (x,)),
            Sample("unsigned", cls((2, 3), (2, 2)), (activation("x", FixedType(False, 4, 6), (5, 6, 6)),)),
            Sample("beyond float32", cls((2, 2), (1, 2), (1, 0)), (activation("x", FixedType(True, 27, 6), (2, 4, 4)),)),
        )


def check_pool(kind: str, x: Value, kernel: Pair, padding: Pair) -> None:
    """Raises GraphError unless x is an image and the padding at most half the kernel, as in torch."""
    if len(x.shape) != 3:
        raise GraphError(f"{kind} wants x (C, H, W), not {x.shape}")
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise GraphError(f"{kind}: padding {padding} is above half the kernel {kernel}")
