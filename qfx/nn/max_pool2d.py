"""MaxPool2d and MaxPool1d, exact."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from qfx.errors import QuantizationError
from qfx.frontend.pooling import max_pool_op, pair, single
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn.layer import Layer, lower_cast
from qfx.ops.base import Op, Pair
from qfx.quant import Quantizer, QuantSpec


class _MaxPool(Layer):
    """Both maximum pools. Values: the result under the layer's path; `.quant` after the cast."""

    def __init__(
        self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, indices: bool, ceil_mode: bool, output: QuantSpec | None
    ) -> None:
        super().__init__()
        if indices:
            raise QuantizationError(f"{type(self).__name__}: return_indices is not supported; leave it out")
        self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode = kernel, stride, padding, dilation, ceil_mode
        self.quant = None if output is None else Quantizer(output)

    def _pool(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)

    def _op(self, image: Pair) -> Op:
        return max_pool_op(image, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return f"{self.kernel}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(_MaxPool):
    """`torch.nn.MaxPool2d`; padding never wins.

    Args:
        return_indices: only False.
        output: format of the result; None (the default) for the exact one, which is no wider than the input.

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
        output: QuantSpec | None = None,
    ) -> None:
        kernel = pair("kernel_size", kernel_size)
        step = kernel if stride is None else pair("stride", stride)
        super().__init__(kernel, step, pair("padding", padding), pair("dilation", dilation), return_indices, ceil_mode, output)

    def forward(self, x: Tensor) -> Tensor:
        return self.emit(self.cast(".quant", self.quant, self.tap("", self._pool(self.to_accumulator("", x)))))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        return lower_cast(scope, ".quant", self.quant, scope.add("", self._op((x.shape[-2], x.shape[-1])), x))


class MaxPool1d(_MaxPool):
    """`torch.nn.MaxPool1d`, through an image of height 1; padding never wins.

    Values: `.image` and `.result`, operand and result with height 1, beside those of `MaxPool2d`.

    Args:
        return_indices: only False.
        output: format of the result; None (the default) for the exact one, which is no wider than the input.

    Shapes: (batch, channel, length) -> (batch, channel, out length).
    """

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
        dilation: int | tuple[int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        *,
        output: QuantSpec | None = None,
    ) -> None:
        kernel = single("kernel_size", kernel_size)
        step = kernel if stride is None else single("stride", stride)
        padded, dilated = (0, single("padding", padding)), (1, single("dilation", dilation))
        super().__init__((1, kernel), (1, step), padded, dilated, return_indices, ceil_mode, output)

    def forward(self, x: Tensor) -> Tensor:
        return self.emit(self.cast(".quant", self.quant, self.on_image(self._pool, x)))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        return lower_cast(scope, ".quant", self.quant, scope.add_on_image(self._op((1, x.shape[-1])), x))
