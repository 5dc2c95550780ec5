"""ConvTranspose2d: zeros between the pixels, then a convolution with mirrored kernels, exact.

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
from qfx.ir import Value
from qfx.nn.conv2d import DEFAULT_BIAS, DEFAULT_WEIGHT, Convolution, check_padding_mode
from qfx.nn.layer import lower_cast, pair
from qfx.nn.scope import Scope
from qfx.quant import QuantSpec


class ConvTranspose2d(Convolution):
    """`torch.nn.ConvTranspose2d` with a fixed-point weight and bias. No cast follows unless `acc` is given.

    Values: `.up`, the image with zeros between its pixels (with a stride); the exact accumulator under the layer's path;
    `.acc` after the cast.

    Args:
        weight_spec: format of the weight (in, out / groups, height, width); per channel means per output channel.
        bias_spec: format of the bias (out,).
        acc: a Requantize of the accumulator.
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
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        padding_mode: str = "zeros",
        *,
        weight_spec: QuantSpec = DEFAULT_WEIGHT,
        bias_spec: QuantSpec = DEFAULT_BIAS,
        acc: QuantSpec | None = None,
    ) -> None:
        check_padding_mode("ConvTranspose2d", padding_mode)
        twin = nn.ConvTranspose2d(in_channels, out_channels, pair("kernel_size", kernel_size), groups=groups, bias=bias)
        super().__init__(twin, out_channels, groups, (weight_spec, bias_spec, acc))
        self.stride, self.dilation = pair("stride", stride), pair("dilation", dilation)
        self.padding, self.output_padding = pair("padding", padding), pair("output_padding", output_padding)
        kernel = pair("kernel_size", kernel_size)
        vertical, horizontal = (d * (k - 1) for k, d in zip(kernel, self.dilation, strict=True))
        self.border = (vertical - self.padding[0], horizontal - self.padding[1])
        if min(self.border) < 0:
            raise QuantizationError(
                f"ConvTranspose2d: padding {self.padding} is above dilation * (kernel_size - 1) = {(vertical, horizontal)};"
                " slice the result instead"
            )

    def kernels(self) -> Tensor:
        inputs, outputs, height, width = self.weight.shape
        grouped = self.weight.reshape(self.groups, inputs // self.groups, outputs, height, width)
        return grouped.transpose(1, 2).reshape(self.groups * outputs, inputs // self.groups, height, width).flip(2, 3)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        outputs, inputs, height, width = weight.shape
        grouped = weight.flip(2, 3).reshape(self.groups, outputs // self.groups, inputs, height, width)
        own = grouped.transpose(1, 2).reshape(self.weight.shape)
        return functional.conv_transpose2d(x, own, bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation)

    def forward(self, x: Tensor) -> Tensor:
        if self.observer is not None and self.stride != (1, 1):
            self.tap(".up", self._spread(x))
        return self.emit(self.cast(".acc", self.acc, self.tap("", self.accumulate(self.carry("", x)))))

    def _spread(self, x: Tensor) -> Tensor:
        (sv, sh), (height, width) = self.stride, x.shape[2:]
        up = torch.zeros(*x.shape[:2], (height - 1) * sv + 1, (width - 1) * sh + 1, dtype=x.dtype, device=x.device)
        up[:, :, ::sv, ::sh] = x
        return up

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        if self.stride != (1, 1):
            x = scope.add(".up", ops.Upsample(self.stride, zeros=True), x)
        digits = self.weight_quant.spec.k_hot
        op = ops.Conv2d((1, 1), self.border, self.dilation, self.groups, digits, self.output_padding)
        return lower_cast(scope, ".acc", self.acc, scope.add("", op, x, *self.constants(scope)))

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, stride={self.stride}, padding={self.padding}, groups={self.groups}"
