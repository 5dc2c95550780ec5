"""ReLU, followed by a Requantize to an unsigned format."""

from __future__ import annotations

from torch import Tensor

from qfx.frontend.calls.activations import relu
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn.layer import Layer, lower_cast
from qfx.quant import Quantizer, QuantSpec

DEFAULT_OUTPUT = QuantSpec.activations(8)


class ReLU(Layer):
    """`torch.nn.ReLU` with a cast after it.

    Values: the exact result under the layer's path; `.quant` after the cast.

    Args:
        inplace: taken for compatibility; results are always new tensors.
        output: format of the result; None for the exact one.

    Shapes: any -> the same.
    """

    def __init__(self, inplace: bool = False, *, output: QuantSpec | None = DEFAULT_OUTPUT) -> None:
        super().__init__()
        self.quant = None if output is None else Quantizer(output)

    def forward(self, x: Tensor) -> Tensor:
        if not self.observed:  # nobody wants the value between the two
            return self.emit(self.cast(".quant", self.quant, x, relu=True))
        return self.emit(self.cast(".quant", self.quant, self.tap("", self.to_accumulator("", x).relu())))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        return lower_cast(scope, ".quant", self.quant, relu(scope, x))
