"""Conv2d: quantized weight and bias, exact accumulator."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from qfx import ops
from qfx.errors import QuantizationError
from qfx.ir import Value
from qfx.nn.layer import Layer, exact_arithmetic, lower_cast, lower_constant, pair
from qfx.nn.scope import Scope
from qfx.quant import Quantizer, QuantSpec

DEFAULT_WEIGHT = QuantSpec.weights(8)
DEFAULT_BIAS = QuantSpec.weights(8)


class Conv2d(Layer):
    """`torch.nn.Conv2d` with a fixed-point weight and bias. No cast follows unless `acc` is given.

    Values: the exact accumulator under the layer's path; `.acc` after the cast.

    Args:
        weight_spec: format of the weight (out, in / groups, height, width); per channel means per output channel.
        bias_spec: format of the bias (out,).
        acc: a Requantize of the accumulator, for a narrower multiplier in the batch normalisation after it.
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
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        weight_spec: QuantSpec = DEFAULT_WEIGHT,
        bias_spec: QuantSpec = DEFAULT_BIAS,
        acc: QuantSpec | None = None,
    ) -> None:
        super().__init__()
        if padding_mode != "zeros":
            raise QuantizationError(f"Conv2d: padding_mode={padding_mode!r} is not supported; use 'zeros'")
        self.stride, self.dilation = pair("stride", stride), pair("dilation", dilation)
        self.padding = _padding(padding, pair("kernel_size", kernel_size), self.stride, self.dilation)
        self.groups = groups
        twin = nn.Conv2d(in_channels, out_channels, kernel_size, groups=groups, bias=bias)  # checks and initialises
        self.weight: Tensor = twin.weight
        self.bias: Tensor | None = twin.bias
        self.weight_quant = Quantizer(weight_spec, out_channels)
        self.bias_quant = Quantizer(bias_spec, out_channels) if bias else None
        self.acc = None if acc is None else Quantizer(acc)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.carry("", self.weight_quant(self.weight))
        bias = None if self.bias is None or self.bias_quant is None else self.carry("", self.bias_quant(self.bias))
        x = self.carry("", x)
        if self.exact:
            with exact_arithmetic(x.device):
                total = self._convolve(x, weight, bias)
        else:
            total = self._convolve(x, weight, bias)
        return self.emit(self.cast(".acc", self.acc, self.tap("", total)))

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        constants = [lower_constant(scope, ".weight", self.weight_quant, self.weight)]
        if self.bias is not None and self.bias_quant is not None:
            constants.append(lower_constant(scope, ".bias", self.bias_quant, self.bias))
        op = ops.Conv2d(self.stride, self.padding, self.dilation, self.groups, self.weight_quant.spec.k_hot)
        return lower_cast(scope, ".acc", self.acc, scope.add("", op, x, *constants))

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, stride={self.stride}, padding={self.padding}, groups={self.groups}"


def _padding(
    padding: int | tuple[int, int] | str, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int]:
    if not isinstance(padding, str):
        return pair("padding", padding)
    if padding == "valid":
        return 0, 0
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if padding != "same" or stride != (1, 1) or any(span % 2 for span in spans):
        raise QuantizationError(
            f"Conv2d: padding={padding!r} with kernel {kernel}, dilation {dilation}, stride {stride} is not symmetric; give numbers"
        )
    return spans[0] // 2, spans[1] // 2
