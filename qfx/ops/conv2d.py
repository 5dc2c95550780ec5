"""conv2d: an exact two-dimensional convolution.

    result[o, i, j] = bias[o] + sum over c, r, s of weight[o, c, r, s] * x[c, i*stride + r*dilation - padding, ...]

The padding is the code 0, which is the real value 0 in every fixed-point format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.errors import GraphError
from qfx.exact import accumulator_dtype
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Pair, Sample, Shape, align, check_digits, signed_digits
from qfx.ops.multiplying import SumOfProducts
from qfx.ops.onnx_conv import conv_form, pads_of
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.ranges import output_frac, sum_of_products_bound, sum_of_products_type
from qfx.ops.sampling import activation, constant, khot_constant
from qfx.ops.windows import output_size, windows


@dataclass(frozen=True)
class Conv2d(SumOfProducts):
    """Convolution of x (channel, height, width) with weight (out, channel / groups, kernel height, kernel width).

    Attributes:
        stride, padding, dilation: (vertical, horizontal).
        groups: channel groups; groups == channels is a depthwise convolution.
        extra: more rows of padding below, more columns to the right.
        digits: weights have at most this many signed digits and are multiplied by shift-add; None for any weights.
    """

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    digits: int | None = None
    extra: Pair = (0, 0)

    kind: ClassVar[str] = "conv2d"
    operand_names: ClassVar[tuple[str, ...]] = ("x", "weight", "bias?")
    constant_operands: ClassVar[frozenset[str]] = frozenset({"weight", "bias"})

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        x, weight, bias = _split(operands)
        if len(x.shape) != 3 or len(weight.shape) != 4:
            raise GraphError(f"conv2d wants x (C, H, W) and weight (O, C/groups, KH, KW), not {x.shape} and {weight.shape}")
        out, per_group, *kernel = weight.shape
        if x.channels != per_group * self.groups or out % self.groups:
            raise GraphError(f"conv2d: {x.channels} channels, {self.groups} groups and weight {weight.shape} do not fit")
        if bias is not None and bias.shape != (out,):
            raise GraphError(f"conv2d: bias {bias.shape} does not fit {out} output channels")
        check_digits(self.kind, weight, self.digits)
        image, window = (x.shape[1], x.shape[2]), (kernel[0], kernel[1])
        size = output_size(image, window, self.stride, self.padding, self.dilation, self.extra)
        return sum_of_products_type(weight.codes.reshape(out, -1), x, weight, bias), (out, *size)

    def bound(self, operands: Sequence[Value]) -> int:
        x, weight, bias = _split(operands)
        return sum_of_products_bound(weight.codes.reshape(weight.shape[0], -1), x, weight, bias)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        x, weight, bias = _split(operands)
        dtype = np.dtype(accumulator_dtype(self.bound(operands)))
        out, per_group, kh, kw = weight.shape
        view = windows(arrays[0].astype(dtype), (kh, kw), self.stride, self.padding, self.dilation, self.extra)
        batch, _, oh, ow = view.shape[:4]
        columns = np.moveaxis(view.reshape(batch, self.groups, per_group, oh, ow, kh, kw), (5, 6), (3, 4))
        matrix = columns.reshape(batch, self.groups, per_group * kh * kw, oh * ow)
        rows = weight.codes.astype(dtype).reshape(self.groups, out // self.groups, per_group * kh * kw)
        products: IntArray = np.matmul(rows, matrix).reshape(batch, out, oh, ow).astype(np.int64)
        frac = output_frac(x, weight, bias)
        total = align(products, x.type.frac + weight.type.frac, frac)
        return total if bias is None else total + align(bias.codes, bias.type.frac, frac)[:, None, None]

    def cost(self, operands: Sequence[Value]) -> Cost:
        weight = operands[1]
        _, (_, oh, ow) = self.infer(operands)
        products = weight.size * oh * ow
        if self.digits is None:
            return Cost(multiplications=products, additions=products)
        return Cost(shift_adds=int(signed_digits(weight.codes).sum()) * oh * ow)

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        x, weight, bias = _split(operands)
        shift = output_frac(x, weight, bias) - x.type.frac - weight.type.frac
        attributes = {
            "strides": self.stride,
            "pads": pads_of(self.padding, self.extra),
            "dilations": self.dilation,
            "group": self.groups,
        }
        result = conv_form(form, x.type, weight.codes, attributes)
        result = form.scale(form.cast(result, form.accumulator), shift)
        if bias is None:
            return result
        offset = align(bias.codes, bias.type.frac, output_frac(x, weight, bias)).reshape(-1, 1, 1)
        return form.node("Add", result, form.constant(offset, form.accumulator))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        s8, u4 = FixedType(True, 8, 5), FixedType(False, 4, 2)
        x = activation("x", u4, (3, 7, 6))
        dense = constant("w", FixedType(True, 4, 3), (5, 3, 3, 3), 1)
        bias = constant("b", FixedType(True, 6, 9), (5,), 2)
        coarse = constant("b", FixedType(True, 6, 1), (5,), 3)
        even = activation("x", s8, (8, 5, 6))
        depthwise = constant("w", s8, (8, 1, 3, 3), 4)
        grouped = constant("w", FixedType(True, 3, 0), (12, 2, 2, 3), 5)
        khot = khot_constant("w", FixedType(True, 6, 4), (4, 8, 3, 3), 6, digits=2)
        wide = constant("w", FixedType(True, 14, 10), (4, 8, 3, 3), 7)
        narrow = constant("w", FixedType(True, 1, 0), (4, 3, 1, 1), 8)
        return (
            Sample("plain 3x3", cls(), (x, dense)),
            Sample("bias on a finer grid, padded, stride 2", cls(stride=(2, 2), padding=(1, 1)), (x, dense, bias)),
            Sample("bias on a coarser grid, dilated", cls(padding=(2, 1), dilation=(2, 1)), (x, dense, coarse)),
            Sample("depthwise", cls(padding=(1, 1), groups=8), (even, depthwise)),
            Sample("depthwise, stride (2, 1)", cls(stride=(2, 1), padding=(1, 0), groups=8), (even, depthwise)),
            Sample("4 groups, even kernel", cls(groups=4), (even, grouped)),
            Sample("2-hot", cls(padding=(1, 1), digits=2), (even, khot)),
            Sample("2-hot depthwise", cls(groups=8, digits=2), (even, khot_constant("w", s8, (8, 1, 3, 3), 9, digits=2))),
            Sample("3-hot grouped with bias", cls(groups=2, digits=3), (even, *_khot_grouped())),
            Sample("beyond float32", cls(), (activation("x", FixedType(True, 12, 8), (8, 5, 6)), wide)),
            Sample("padding that is not symmetric", cls(padding=(1, 0), extra=(1, 2)), (x, dense)),
            Sample("1x1 on more than the image", cls(extra=(1, 1)), (x, narrow)),
            Sample("1-bit signed weights, 1x1", cls(stride=(3, 2)), (x, narrow)),
        )


def _khot_grouped() -> tuple[Value, Value]:
    weight = khot_constant("w", FixedType(True, 8, 6), (6, 4, 1, 2), 10, digits=3)
    return weight, constant("b", FixedType(True, 8, 11), (6,), 11)


def _split(operands: Sequence[Value]) -> tuple[Value, Value, Value | None]:
    return operands[0], operands[1], operands[2] if len(operands) == 3 else None
