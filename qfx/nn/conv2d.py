"""Conv2d and Conv1d: quantized weight and bias, exact accumulator."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from qfx import ops
from qfx.errors import QuantizationError
from qfx.frontend.pooling import pair, single
from qfx.frontend.scope import RESULT, Scope
from qfx.ir import Value
from qfx.nn._evaluation import Constants
from qfx.nn.layer import Layer, lower_cast
from qfx.ops.base import Op, Pair
from qfx.quant import Quantizer, QuantSpec
from qfx.quant.exact_arithmetic import exact_arithmetic

DEFAULT_WEIGHT = QuantSpec.weights(8)
DEFAULT_BIAS = QuantSpec.weights(8)

Specs = tuple[QuantSpec, bool | QuantSpec, QuantSpec | None]


class Convolution(Layer):
    """What the convolutions share. Values: the exact accumulator under the layer's path; `.acc` after the cast.

    Args:
        plain: the torch layer, which has checked the channels and initialised weight and bias.
        out_channels: channels of the result.
        specs: format of the weight, the argument `bias`, and the format of the accumulator's Requantize.
    """

    step = ""
    """Suffix of the convolution itself."""

    def __init__(
        self, plain: Any, out_channels: int, groups: int, specs: tuple[QuantSpec, bool | QuantSpec, QuantSpec | None]
    ) -> None:
        super().__init__()
        self.groups = groups
        self.weight: Tensor = plain.weight
        self.bias: Tensor | None = plain.bias
        weight, bias, accumulator = specs
        self.weight_quant = Quantizer(weight, out_channels)
        self.bias_quant = None if self.bias is None else Quantizer(bias_format(bias), out_channels)
        self.acc = None if accumulator is None else Quantizer(accumulator)

    def kernels(self) -> Tensor:
        """The weight as convolutions of images have it: (out, in / groups, height, width)."""
        return self.weight

    @abstractmethod
    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's arithmetic on an image."""

    def accumulate(self, x: Tensor) -> Tensor:
        """`convolve` with the quantized weight and bias, exact in eval."""
        weight, bias = self.kept_constants()
        assert weight is not None
        if not self.exact:
            return self.convolve(x, weight, bias)
        with exact_arithmetic(x.device):
            return self.convolve(x, weight, bias)

    def constants(self) -> Constants:
        weight = self.to_accumulator(self.step, self.weight_quant(self.kernels()))
        bias = None if self.bias is None or self.bias_quant is None else self.to_accumulator(self.step, self.bias_quant(self.bias))
        return weight, bias

    def lower_constants(self, scope: Scope) -> list[Value]:
        """Weight and bias in the graph."""
        codes, type = self.weight_quant.codes(self.kernels())
        weight = scope.constant(".weight", codes, type)
        if self.bias is None or self.bias_quant is None:
            return [weight]
        return [weight, scope.constant(".bias", *self.bias_quant.codes(self.bias))]

    def _op_of(self, stride: Pair, padding: Pair, dilation: Pair, extra: Pair) -> Op:
        """The op with this geometry, the layer's groups and the digits of its weight."""
        return ops.Conv2d(stride, padding, dilation, self.groups, self.weight_quant.spec.k_hot, extra)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, groups={self.groups}"


class _Conv(Convolution):
    """A convolution of windows, with its geometry on images."""

    stride: Pair
    padding: Pair
    dilation: Pair
    extra: Pair

    def op(self) -> Op:
        """The op that it lowers to."""
        return self._op_of(self.stride, self.padding, self.dilation, self.extra)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if max(self.extra):
            x = functional.pad(x, (0, self.extra[1], 0, self.extra[0]))  # goes on beyond the symmetric padding
        return functional.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)


class Conv2d(_Conv):
    """`torch.nn.Conv2d` with a fixed-point weight and bias. No cast follows unless `accumulator` is given.

    Values: the exact accumulator under the layer's path; `.acc` after the cast.

    Args:
        weight: format of the weight (out, in / groups, height, width); per channel means per output channel.
        bias: whether there is one (out,), or its format.
        accumulator: a Requantize of the accumulator, for a narrower multiplier in the batch normalisation after it.
        extra: more rows of padding below, more columns to the right.
        padding_mode: only `zeros`; the padding is the real value 0.

    Shapes: (batch, in_channels, height, width) -> (batch, out_channels, out height, out width).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool | QuantSpec = True,
        padding_mode: str = "zeros",
        *,
        weight: QuantSpec = DEFAULT_WEIGHT,
        accumulator: QuantSpec | None = None,
        extra: int | tuple[int, int] = 0,
    ) -> None:
        check_padding_mode("Conv2d", padding_mode)
        plain = nn.Conv2d(in_channels, out_channels, kernel_size, groups=groups, bias=bool(bias))
        super().__init__(plain, out_channels, groups, (weight, bias, accumulator))
        self.stride, self.dilation, self.extra = pair("stride", stride), pair("dilation", dilation), pair("extra", extra)
        if isinstance(padding, str):
            self.padding, self.extra = named_padding(
                "Conv2d", padding, pair("kernel_size", kernel_size), self.stride, self.dilation
            )
        else:
            self.padding = pair("padding", padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.emit(self.cast(".acc", self.acc, self.tap("", self.accumulate(self.to_accumulator("", x)))))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        return lower_cast(scope, ".acc", self.acc, scope.add("", self.op(), x, *self.lower_constants(scope)))

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, stride={self.stride}, padding={self.padding}, groups={self.groups}"


class Conv1d(_Conv):
    """`torch.nn.Conv1d` with a fixed-point weight and bias, through an image of height 1.

    Values: `.image` and `.result`, operand and accumulator with height 1; the accumulator under the layer's path; `.acc`.

    Args:
        weight: format of the weight (out, in / groups, length); per channel means per output channel.
        bias: whether there is one (out,), or its format.
        accumulator: a Requantize of the accumulator.
        padding_mode: only `zeros`; the padding is the real value 0.

    Shapes: (batch, in_channels, length) -> (batch, out_channels, out length).
    """

    step = RESULT

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] | str = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool | QuantSpec = True,
        padding_mode: str = "zeros",
        *,
        weight: QuantSpec = DEFAULT_WEIGHT,
        accumulator: QuantSpec | None = None,
    ) -> None:
        check_padding_mode("Conv1d", padding_mode)
        plain = nn.Conv1d(in_channels, out_channels, kernel_size, groups=groups, bias=bool(bias))
        super().__init__(plain, out_channels, groups, (weight, bias, accumulator))
        self.stride, self.dilation, self.extra = (1, single("stride", stride)), (1, single("dilation", dilation)), (0, 0)
        if isinstance(padding, str):
            kernel = (1, single("kernel_size", kernel_size))
            self.padding, self.extra = named_padding("Conv1d", padding, kernel, self.stride, self.dilation)
        else:
            self.padding = (0, single("padding", padding))

    def kernels(self) -> Tensor:
        return self.weight.unsqueeze(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.emit(self.cast(".acc", self.acc, self.on_image(self.accumulate, x)))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        return lower_cast(scope, ".acc", self.acc, scope.add_on_image(self.op(), x, *self.lower_constants(scope)))


def bias_format(bias: bool | QuantSpec) -> QuantSpec:
    """The format that the argument `bias` of a layer stands for."""
    return bias if isinstance(bias, QuantSpec) else DEFAULT_BIAS


def check_padding_mode(layer: str, mode: str) -> None:
    """Raises QuantizationError unless the padding is zeros."""
    if mode != "zeros":
        raise QuantizationError(f"{layer}: padding_mode={mode!r} is not supported; use 'zeros'")


def named_padding(layer: str, padding: str, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """Padding and extra for `valid` and `same`, of which torch puts the odd row or column below and to the right.

    Raises:
        QuantizationError: another name, or `same` with a stride.
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding != "same" or stride != (1, 1):
        raise QuantizationError(f"{layer}: padding={padding!r} with stride {stride} has no meaning; use 'valid', 'same' or numbers")
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return (spans[0] // 2, spans[1] // 2), (spans[0] % 2, spans[1] % 2)
