"""ConvTranspose2d and ConvTranspose1d: zeros between the pixels, then a convolution with mirrored kernels, exact.

    up[c, i * sv, j * sh] = x[c, i, j], 0 elsewhere
    result = conv2d(up, mirrored weight), padding d * (k - 1) - p, output_padding more below and to the right

The graph has it so. The layer computes with torch's own transposed convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from qfx import ops
from qfx.errors import QuantizationError
from qfx.frontend.pooling import pair, single
from qfx.frontend.scope import RESULT, Scope
from qfx.ir import Value
from qfx.nn.conv2d import DEFAULT_WEIGHT, Convolution, check_padding_mode
from qfx.nn.layer import lower_cast
from qfx.ops.base import Op, Pair
from qfx.quant import QuantSpec


class _ConvTranspose(Convolution):
    """Both transposed convolutions, on images."""

    stride: Pair
    dilation: Pair
    padding: Pair
    output_padding: Pair

    def _describe(self, stride: Pair, dilation: Pair, padding: Pair, output_padding: Pair) -> None:
        """Take the geometry (vertical, horizontal).

        Raises:
            QuantizationError: padding that cuts results away.
        """
        self.stride, self.dilation, self.padding, self.output_padding = stride, dilation, padding, output_padding
        spans = tuple(d * (k - 1) for k, d in zip(self._image_weight().shape[2:], dilation, strict=True))
        self.inner_padding = (spans[0] - padding[0], spans[1] - padding[1])
        if min(self.inner_padding) < 0:
            raise QuantizationError(
                f"{type(self).__name__}: padding {padding} is above dilation * (kernel_size - 1) = {spans};"
                " slice the result instead"
            )

    def _image_weight(self) -> Tensor:
        """The weight as torch's transposed convolution of images has it: (in, out / groups, height, width)."""
        return self.weight

    def kernels(self) -> Tensor:
        inputs, outputs, height, width = self._image_weight().shape
        grouped = self._image_weight().reshape(self.groups, inputs // self.groups, outputs, height, width)
        return grouped.transpose(1, 2).reshape(self.groups * outputs, inputs // self.groups, height, width).flip(2, 3)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        outputs, inputs, height, width = weight.shape
        grouped = weight.flip(2, 3).reshape(self.groups, outputs // self.groups, inputs, height, width)
        own = grouped.transpose(1, 2).reshape(self._image_weight().shape)
        return functional.conv_transpose2d(x, own, bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation)

    def show_spread(self, x: Tensor) -> None:
        """Tap `.up`, which torch's own transposed convolution does not compute."""
        if not self.observed or self.stride == (1, 1):
            return
        (sv, sh), (height, width) = self.stride, x.shape[2:]
        up = torch.zeros(*x.shape[:2], (height - 1) * sv + 1, (width - 1) * sh + 1, dtype=x.dtype, device=x.device)
        up[:, :, ::sv, ::sh] = x
        self.tap(".up", up)

    def lower_spread(self, scope: Scope, x: Value) -> Value:
        """The image with zeros between its pixels."""
        return x if self.stride == (1, 1) else scope.add(".up", ops.Upsample(self.stride, zeros=True), x)

    def op(self) -> Op:
        """The convolution with mirrored kernels."""
        return self._op_of((1, 1), self.inner_padding, self.dilation, self.output_padding)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, stride={self.stride}, padding={self.padding}, groups={self.groups}"


class ConvTranspose2d(_ConvTranspose):
    """`torch.nn.ConvTranspose2d` with a fixed-point weight and bias. No cast follows unless `accumulator` is given.

    Values: `.up`, the image with zeros between its pixels (with a stride); the exact accumulator under the layer's path;
    `.acc` after the cast.

    Args:
        weight: format of the weight (in, out / groups, height, width); per channel means per output channel.
        bias: whether there is one (out,), or its format.
        accumulator: a Requantize of the accumulator.
        padding: at most dilation * (kernel_size - 1); more would cut results away.
        padding_mode: only `zeros`.

    Shapes: (batch, in_channels, height, width) -> (batch, out_channels, out height, out width).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool | QuantSpec = True,
        dilation: int | tuple[int, int] = 1,
        padding_mode: str = "zeros",
        *,
        weight: QuantSpec = DEFAULT_WEIGHT,
        accumulator: QuantSpec | None = None,
    ) -> None:
        check_padding_mode("ConvTranspose2d", padding_mode)
        plain = nn.ConvTranspose2d(in_channels, out_channels, pair("kernel_size", kernel_size), groups=groups, bias=bool(bias))
        super().__init__(plain, out_channels, groups, (weight, bias, accumulator))
        self._describe(
            pair("stride", stride), pair("dilation", dilation), pair("padding", padding), pair("output_padding", output_padding)
        )

    def forward(self, x: Tensor) -> Tensor:
        self.show_spread(x)
        return self.emit(self.cast(".acc", self.acc, self.tap("", self.accumulate(self.to_accumulator("", x)))))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        spread = self.lower_spread(scope, *inputs)
        return lower_cast(scope, ".acc", self.acc, scope.add("", self.op(), spread, *self.lower_constants(scope)))


class ConvTranspose1d(_ConvTranspose):
    """`torch.nn.ConvTranspose1d` with a fixed-point weight and bias, through an image of height 1.

    Values: `.image`, the operand with height 1; `.up` with zeros between its pixels (with a stride); `.result`, the accumulator
    with height 1; the accumulator under the layer's path; `.acc` after the cast.

    Args:
        weight: format of the weight (in, out / groups, length); per channel means per output channel.
        bias: whether there is one (out,), or its format.
        accumulator: a Requantize of the accumulator.
        padding: at most dilation * (kernel_size - 1); more would cut results away.
        padding_mode: only `zeros`.

    Shapes: (batch, in_channels, length) -> (batch, out_channels, out length).
    """

    step = RESULT

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] = 0,
        output_padding: int | tuple[int] = 0,
        groups: int = 1,
        bias: bool | QuantSpec = True,
        dilation: int | tuple[int] = 1,
        padding_mode: str = "zeros",
        *,
        weight: QuantSpec = DEFAULT_WEIGHT,
        accumulator: QuantSpec | None = None,
    ) -> None:
        check_padding_mode("ConvTranspose1d", padding_mode)
        plain = nn.ConvTranspose1d(in_channels, out_channels, single("kernel_size", kernel_size), groups=groups, bias=bool(bias))
        super().__init__(plain, out_channels, groups, (weight, bias, accumulator))
        self._describe(
            (1, single("stride", stride)),
            (1, single("dilation", dilation)),
            (0, single("padding", padding)),
            (0, single("output_padding", output_padding)),
        )

    def _image_weight(self) -> Tensor:
        return self.weight.unsqueeze(2)

    def _on_image(self, x: Tensor) -> Tensor:
        self.show_spread(x)
        return self.accumulate(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.emit(self.cast(".acc", self.acc, self.on_image(self._on_image, x)))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        image = self.lower_spread(scope, scope.as_image(x, "conv_transpose1d"))
        result = scope.add(RESULT, self.op(), image, *self.lower_constants(scope))
        return lower_cast(scope, ".acc", self.acc, scope.as_signal(result))
