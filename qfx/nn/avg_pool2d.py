"""AvgPool2d and AdaptiveAvgPool2d(1): an exact sum times a constant, then a Requantize.

area a power of two:  sum * 2**-log2(area)
otherwise:            sum * r * 2**-fr,   r = floor(2**fr / area + 1/2), a fixed-point reciprocal
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from qfx import ops
from qfx.errors import QuantizationError
from qfx.fixed import FixedType
from qfx.ir import Value
from qfx.nn.layer import Layer, lower_cast, pair
from qfx.nn.scope import Scope
from qfx.ops.base import Pair
from qfx.quant import Quantizer, QuantSpec

DEFAULT_QUANT = QuantSpec.activations(8, signed=True)
RECIPROCAL_WIDTH = 8


def is_power_of_two(area: int) -> bool:
    """Whether dividing by `area` only moves the binary point."""
    return area & (area - 1) == 0


def reciprocal_type(area: int, width: int) -> FixedType | None:
    """The unsigned format of `width` bits in which 1/area is most precise; None where no constant is needed."""
    return None if is_power_of_two(area) else FixedType(False, width, width + area.bit_length() - 1)


def reciprocal(area: int, type: FixedType | None) -> float:
    """1/area as the hardware has it."""
    return 1.0 / area if type is None else int(2**type.frac / area + 0.5) * 2.0**-type.frac


class _AvgPool(Layer):
    """Both average pools. Values: the scaled sum under the layer's path; `.quant` after the cast."""

    def __init__(self, quant: QuantSpec | None, reciprocal_width: int) -> None:
        super().__init__()
        self.quant = None if quant is None else Quantizer(quant)
        self.reciprocal_width = reciprocal_width

    def _pool(self, x: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
        area = kernel[0] * kernel[1]
        type = reciprocal_type(area, self.reciprocal_width)
        # A float model (quantizers off) divides; its weights must not depend on the reciprocal's format.
        factor = 1.0 / area if self.quant is not None and not self.quant.enabled else reciprocal(area, type)
        total = functional.avg_pool2d(self.carry("", x), kernel, stride, padding, divisor_override=1)
        return self.emit(self.cast(".quant", self.quant, self.tap("", total * factor)))

    def _lower(self, scope: Scope, x: Value, kernel: Pair, stride: Pair, padding: Pair) -> Value:
        type = reciprocal_type(kernel[0] * kernel[1], self.reciprocal_width)
        return lower_cast(scope, ".quant", self.quant, scope.add("", ops.AvgPool2d(kernel, stride, padding, type), x))


class AvgPool2d(_AvgPool):
    """`torch.nn.AvgPool2d`; padding counts as zeros.

    Args:
        ceil_mode, count_include_pad, divisor_override: only torch's defaults.
        quant: format of the result; None for the exact one.
        reciprocal_width: bits of the constant 1/area where the area is no power of two.

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
        quant: QuantSpec | None = DEFAULT_QUANT,
        reciprocal_width: int = RECIPROCAL_WIDTH,
    ) -> None:
        super().__init__(quant, reciprocal_width)
        if ceil_mode or not count_include_pad or divisor_override is not None:
            raise QuantizationError("AvgPool2d: ceil_mode, count_include_pad=False and divisor_override are not supported")
        self.kernel = pair("kernel_size", kernel_size)
        self.stride = self.kernel if stride is None else pair("stride", stride)
        self.padding = pair("padding", padding)

    def forward(self, x: Tensor) -> Tensor:
        return self._pool(x, self.kernel, self.stride, self.padding)

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        return self._lower(scope, inputs[0], self.kernel, self.stride, self.padding)

    def extra_repr(self) -> str:
        return f"{self.kernel}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(_AvgPool):
    """`torch.nn.AdaptiveAvgPool2d(1)`: the average of each channel.

    Args:
        output_size: 1 or (1, 1).
        quant: format of the result; None for the exact one.
        reciprocal_width: bits of the constant 1/area where the area is no power of two.

    Shapes: (batch, channel, height, width) -> (batch, channel, 1, 1).
    """

    def __init__(
        self,
        output_size: int | tuple[int, int] = 1,
        *,
        quant: QuantSpec | None = DEFAULT_QUANT,
        reciprocal_width: int = RECIPROCAL_WIDTH,
    ) -> None:
        super().__init__(quant, reciprocal_width)
        if pair("output_size", output_size) != (1, 1):
            raise QuantizationError(f"AdaptiveAvgPool2d: output_size={output_size} is not supported; use 1, or AvgPool2d")

    def forward(self, x: Tensor) -> Tensor:
        kernel = (int(x.shape[2]), int(x.shape[3]))
        return self._pool(x, kernel, kernel, (0, 0))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        kernel = (x.shape[1], x.shape[2])
        return self._lower(scope, x, kernel, kernel, (0, 0))
