"""upsample: every pixel becomes a block, of copies (nearest) or of itself and zeros.

    nearest: result[c, i, j] = x[c, i // fh, j // fw]
    zeros:   result[c, i, j] = x[c, i / fh, j / fw] where both divide, else 0; without the last block's trailing zeros

A transposed convolution is the second kind, then a convolution.
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
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Upsample(Op):
    """Enlarges x (channel, height, width).

    Attributes:
        factor: (vertical, horizontal).
        zeros: zeros between the pixels instead of copies.
    """

    factor: Pair
    zeros: bool = False

    kind: ClassVar[str] = "upsample"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        if len(x.shape) != 3:
            raise GraphError(f"upsample wants x (C, H, W), not {x.shape}")
        if min(self.factor) < 1:
            raise GraphError(f"upsample: factor {self.factor} is below 1")
        height, width = (n * f - (f - 1 if self.zeros else 0) for n, f in zip(x.shape[1:], self.factor, strict=True))
        return x.type, (x.channels, height, width)

    def bound(self, operands: Sequence[Value]) -> int:
        return operands[0].type.max_abs

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        if not self.zeros:
            return arrays[0].repeat(self.factor[0], axis=2).repeat(self.factor[1], axis=3)
        _, shape = self.infer(operands)
        result = np.zeros((len(arrays[0]), *shape), np.int64)
        result[:, :, :: self.factor[0], :: self.factor[1]] = arrays[0]
        return result

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost()

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        channels, height, width = operands[0].shape
        fh, fw = self.factor
        blocks = form.node("Reshape", form.operand(0), form.constant([-1, channels, height, 1, width, 1], "int64"))
        if self.zeros:
            pads = form.constant([0] * 6 + [0, 0, 0, fh - 1, 0, fw - 1], "int64")
            blocks = form.node("Pad", blocks, pads, form.constant(0, form.accumulator))
        else:
            blocks = form.node("Expand", blocks, form.constant([1, 1, 1, fh, 1, fw], "int64"))
        image = form.node("Reshape", blocks, form.constant([-1, channels, height * fh, width * fw], "int64"))
        if not self.zeros:
            return image
        _, (_, out_height, out_width) = self.infer(operands)
        ends = (form.constant(codes, "int64") for codes in ([0, 0], [out_height, out_width], [2, 3]))
        return form.node("Slice", image, *ends)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 5, 3), (6, 3, 4))
        return (
            Sample("nearest 2x2", cls((2, 2)), (x,)),
            Sample("nearest 3x1", cls((3, 1)), (x,)),
            Sample("zeros 2x2", cls((2, 2), True), (x,)),
            Sample("zeros 1x3", cls((1, 3), True), (x,)),
            Sample("beyond float32", cls((2, 1)), (activation("x", FixedType(True, 27, 3), (2, 2, 2)),)),
        )
