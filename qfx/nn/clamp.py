"""ReLU6 and Hardtanh: exact limits, followed by a Requantize."""

from __future__ import annotations

from torch import Tensor

from qfx.frontend.scalars import clamp_op
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn.layer import Layer, lower_cast
from qfx.quant import Quantizer, QuantSpec

DEFAULT_SIGNED = QuantSpec.activations(8, signed=True)
DEFAULT_UNSIGNED = QuantSpec.activations(8)


class Hardtanh(Layer):
    """`torch.nn.Hardtanh` with a cast after it.

    Values: the exact result under the layer's path; `.quant` after the cast.

    Args:
        min_val, max_val: bounds, multiples of some power of two down to 2**-24.
        inplace: taken for compatibility; results are always new tensors.
        output: format of the result; None for the exact one.

    Shapes: any -> the same.
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        *,
        output: QuantSpec | None = DEFAULT_SIGNED,
    ) -> None:
        super().__init__()
        self.min_val, self.max_val, self.op = min_val, max_val, clamp_op(min_val, max_val)
        self.quant = None if output is None else Quantizer(output)

    def forward(self, x: Tensor) -> Tensor:
        limited = self.tap("", self.to_accumulator("", x).clamp(self.min_val, self.max_val))
        return self.emit(self.cast(".quant", self.quant, limited))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        return lower_cast(scope, ".quant", self.quant, scope.add("", self.op, *inputs))

    def extra_repr(self) -> str:
        return f"{self.min_val}, {self.max_val}"


class ReLU6(Hardtanh):
    """`torch.nn.ReLU6` with a cast after it; the bounds are 0 and 6, otherwise as `Hardtanh`.

    Shapes: any -> the same.
    """

    def __init__(self, inplace: bool = False, *, output: QuantSpec | None = DEFAULT_UNSIGNED) -> None:
        super().__init__(0.0, 6.0, inplace, output=output)
