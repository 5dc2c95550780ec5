"""MaxPool2d, exact."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from qfx import ops
from qfx.errors import QuantizationError
from qfx.ir import Value
from qfx.nn.layer import Layer, lower_cast, pair
from qfx.nn.scope import Scope
from qfx.quant import Quantizer, QuantSpec


class MaxPool2d(Layer):
    """`torch.nn.MaxPool2d`; padding never wins.

    Values: the result under the layer's path; `.quant` after the cast.

    Args:
        dilation, return_indices, ceil_mode: only torch's defaults.
        quant: format of the result; None (the default) for the exact one, which is no wider than the input.

    Shapes: (batch, channel, height, width) -> (batch, channel, out height, out width).
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        *,
        quant: QuantSpec | None = None,
    ) -> None:
        super().__init__()
        if pair("dilation", dilation) != (1, 1) or return_indices or ceil_mode:
            raise QuantizationError("MaxPool2d: dilation, return_indices and ceil_mode are not supported; leave them out")
        self.kernel = pair("kernel_size", kernel_size)
        self.stride = self.kernel if stride is None else pair("stride", stride)
        self.padding = pair("padding", padding)
        self.quant = None if quant is None else Quantizer(quant)

    def forward(self, x: Tensor) -> Tensor:
        result = functional.max_pool2d(self.carry("", x), self.kernel, self.stride, self.padding)
        return self.emit(self.cast(".quant", self.quant, self.tap("", result)))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        result = scope.add("", ops.MaxPool2d(self.kernel, self.stride, self.padding), *inputs)
        return lower_cast(scope, ".quant", self.quant, result)

    def extra_repr(self) -> str:
        return f"{self.kernel}, stride={self.stride}, padding={self.padding}"
