"""Average pools in one and two dimensions: an exact sum times a constant, then a Requantize.

all areas one power of two:  sum * 2**-log2(area)
otherwise:                   sum * r * 2**-fr,   r = floor(2**fr / area + 1/2), a fixed-point reciprocal per position
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from qfx import ops
from qfx.checks import argument, whole
from qfx.errors import QuantizationError
from qfx.fixed import FixedType
from qfx.frontend.pooling import adaptive_avg_pool_op, adaptive_kernel, avg_pool_op, divides, is_power_of_two, pair, single
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn.layer import Layer, lower_cast
from qfx.ops.base import Pair
from qfx.quant import Quantizer, QuantSpec
from qfx.quant.tracing import shape_of, traced_by_jit, unseen

DEFAULT_OUTPUT = QuantSpec.activations(8, signed=True)
RECIPROCAL_WIDTH = 8


def reciprocal_type(area: int, width: int) -> FixedType:
    """The unsigned format of `width` bits in which 1/area, and no less than that, is most precise."""
    frac = width + area.bit_length() - 1 - is_power_of_two(area)
    rounded_up = ((2 << frac) + area) // (2 * area) >> width  # to 2**width, as for 1/513 in 8 bits
    return FixedType(False, width, frac - rounded_up)


class _AvgPool(Layer):
    """All average pools. Values: the scaled sum under the layer's path; `.quant` after the cast."""

    def __init__(self, output: QuantSpec | None, reciprocal_width: int) -> None:
        super().__init__()
        self.quant = None if output is None else Quantizer(output)
        self.reciprocal_width = argument("an average pool", "reciprocal_width", reciprocal_width, whole(1), QuantizationError)

    def format_codes(self) -> list[int]:
        return [self.reciprocal_width]

    @staticmethod
    def format_text(codes: Sequence[int]) -> str:
        (width,) = codes
        return f"reciprocals of {width} bits"

    @abstractmethod
    def _op(self, image: Pair) -> ops.AvgPool2d:
        """The op for an image of this size, without a reciprocal."""

    def _with_reciprocal(self, image: Pair) -> ops.AvgPool2d:
        op = self._op(image)
        if divides(op):
            return op
        return dataclasses.replace(op, reciprocal=reciprocal_type(int(op.areas(image).min()), self.reciprocal_width))

    def _pool(self, x: Tensor) -> Tensor:
        with unseen():
            op = self._with_reciprocal((x.shape[2], x.shape[3]))
            areas = _areas(x, op)
        total = _totals(x, op)
        # A float model (quantizers off) divides; its weights must not depend on the reciprocal's format.
        if op.reciprocal is None or (self.quant is not None and not self.quant.enabled):
            return total / areas.to(total.dtype)
        return total * (torch.floor(2.0**op.reciprocal.frac / areas + 0.5) * 2.0**-op.reciprocal.frac).to(total.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.emit(self.cast(".quant", self.quant, self.tap("", self._pool(self.to_accumulator("", x)))))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        op = self._with_reciprocal((x.shape[-2], x.shape[-1]))
        return lower_cast(scope, ".quant", self.quant, scope.add("", op, x))


def _totals(x: Tensor, op: ops.AvgPool2d) -> Tensor:
    """The sum of each window."""
    if not traced_by_jit():
        return functional.avg_pool2d(x, op.kernel, op.stride, op.padding, max(op.extra) > 0, divisor_override=1)
    # torch.onnx drops the divisor without a word, so a trace has a convolution with ones.
    (ph, pw), (eh, ew), channels = op.padding, op.extra, shape_of(x)[1]
    with unseen():
        ones = torch.ones(channels, 1, *op.kernel, dtype=x.dtype, device=x.device)
    return functional.conv2d(functional.pad(x, (pw, pw + ew, ph, ph + eh)), ones, None, op.stride, groups=channels)


def _areas(x: Tensor, op: ops.AvgPool2d) -> Tensor:
    """Area of each window (out height, out width), or of all (), in float64: what a sum of ones gives."""
    if op.uniform:
        return torch.tensor(float(op.area), dtype=torch.float64, device=x.device)
    ones = torch.ones(1, 1, x.shape[2], x.shape[3], dtype=torch.float64, device=x.device)
    (ph, pw), pad = op.padding, float(op.include_pad)
    bordered = functional.pad(ones, (pw, pw, ph, ph), value=pad)
    beyond = functional.pad(bordered, (0, op.extra[1], 0, op.extra[0]))
    return functional.avg_pool2d(beyond, op.kernel, op.stride, divisor_override=1)[0, 0]


class AvgPool2d(_AvgPool):
    """`torch.nn.AvgPool2d`.

    Args:
        divisor_override: only None.
        output: format of the result; None for the exact one.
        reciprocal_width: bits of the constants 1/area where the areas are not one power of two.

    Shapes: (batch, channel, height, width) -> (batch, channel, out height, out width).
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        output: QuantSpec | None = DEFAULT_OUTPUT,
        reciprocal_width: int = RECIPROCAL_WIDTH,
    ) -> None:
        super().__init__(output, reciprocal_width)
        if divisor_override is not None:
            raise QuantizationError("AvgPool2d: divisor_override is not supported; leave it out")
        self.kernel = pair("kernel_size", kernel_size)
        self.stride = self.kernel if stride is None else pair("stride", stride)
        self.padding = pair("padding", padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def _op(self, image: Pair) -> ops.AvgPool2d:
        return avg_pool_op(image, self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"{self.kernel}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(_AvgPool):
    """`torch.nn.AdaptiveAvgPool2d` to a size that divides that of the image; 1 is the average of each channel.

    Args:
        output_size: (vertical, horizontal) or one number for both; None for an axis that stays.
        output: format of the result; None for the exact one.
        reciprocal_width: bits of the constant 1/area where the area is no power of two.

    Shapes: (batch, channel, height, width) -> (batch, channel, *output_size).
    """

    def __init__(
        self,
        output_size: int | tuple[int | None, int | None] = 1,
        *,
        output: QuantSpec | None = DEFAULT_OUTPUT,
        reciprocal_width: int = RECIPROCAL_WIDTH,
    ) -> None:
        super().__init__(output, reciprocal_width)
        self.output_size = output_size

    def _op(self, image: Pair) -> ops.AvgPool2d:
        return adaptive_avg_pool_op(adaptive_kernel(image, self.output_size))

    def extra_repr(self) -> str:
        return f"{self.output_size}"


class _AvgPool1d(_AvgPool):
    """Average pools in one dimension. Values: also `.image` and `.result`, operand and result with height 1."""

    def forward(self, x: Tensor) -> Tensor:
        return self.emit(self.cast(".quant", self.quant, self.on_image(self._pool, x)))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        return lower_cast(scope, ".quant", self.quant, scope.add_on_image(self._with_reciprocal((1, x.shape[-1])), x))


class AvgPool1d(_AvgPool1d):
    """`torch.nn.AvgPool1d`, through an image of height 1.

    Args:
        output: format of the result; None for the exact one.
        reciprocal_width: bits of the constants 1/area where the areas are not one power of two.

    Shapes: (batch, channel, length) -> (batch, channel, out length).
    """

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        *,
        output: QuantSpec | None = DEFAULT_OUTPUT,
        reciprocal_width: int = RECIPROCAL_WIDTH,
    ) -> None:
        super().__init__(output, reciprocal_width)
        kernel = single("kernel_size", kernel_size)
        self.kernel = (1, kernel)
        self.stride = (1, kernel if stride is None else single("stride", stride))
        self.padding = (0, single("padding", padding))
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def _op(self, image: Pair) -> ops.AvgPool2d:
        return avg_pool_op(image, self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AdaptiveAvgPool1d(_AvgPool1d):
    """`torch.nn.AdaptiveAvgPool1d` to a size that divides the length, through an image of height 1.

    Args:
        output_size: of the result.
        output: format of the result; None for the exact one.
        reciprocal_width: bits of the constant 1/area where the area is no power of two.

    Shapes: (batch, channel, length) -> (batch, channel, output_size).
    """

    def __init__(
        self,
        output_size: int | tuple[int] = 1,
        *,
        output: QuantSpec | None = DEFAULT_OUTPUT,
        reciprocal_width: int = RECIPROCAL_WIDTH,
    ) -> None:
        super().__init__(output, reciprocal_width)
        self.output_size = single("output_size", output_size)

    def _op(self, image: Pair) -> ops.AvgPool2d:
        return adaptive_avg_pool_op(adaptive_kernel(image, (None, self.output_size)))
