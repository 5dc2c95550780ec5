"""PReLU with a quantized slope, between two Requantizes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from qfx import ops
from qfx.errors import QuantizationError
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn._evaluation import Constants
from qfx.nn.layer import Layer, lower_cast
from qfx.quant import Quantizer, QuantSpec

DEFAULT_SLOPE = QuantSpec.weights(8)
DEFAULT_INPUT = QuantSpec.activations(9, signed=True)
DEFAULT_OUTPUT = QuantSpec.activations(8, signed=True)


class PReLU(Layer):
    """`torch.nn.PReLU` with a fixed-point slope and a cast before and after.

    Values: `.pre` after the first cast, the exact result under the layer's path, `.quant` after the second cast.

    Args:
        num_parameters: channels, or 1 for one slope.
        init: slope to start from.
        slope: format of the slopes (num_parameters,); may be K-hot.
        input: format of the input; None for no cast.
        output: format of the result; None for the exact one.

    Shapes: (batch, channel, ...) -> the same.
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        *,
        slope: QuantSpec = DEFAULT_SLOPE,
        input: QuantSpec | None = DEFAULT_INPUT,
        output: QuantSpec | None = DEFAULT_OUTPUT,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((num_parameters,), init))
        self.slope_quant = Quantizer(slope, num_parameters)
        self.pre = None if input is None else Quantizer(input)
        self.quant = None if output is None else Quantizer(output)

    def constants(self) -> Constants:
        return (self.to_accumulator("", self.slope_quant(self.weight)),)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cast(".pre", self.pre, x)
        (slope,) = self.kept_constants()
        assert slope is not None
        result = self.tap("", functional.prelu(self.to_accumulator("", x), slope))
        return self.emit(self.cast(".quant", self.quant, result))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        x = lower_cast(scope, ".pre", self.pre, x)
        codes, type = self.slope_quant.codes(self.weight)
        if len(codes) not in (1, x.channels):
            raise QuantizationError(f"{scope.name}: PReLU has {len(codes)} slopes, its input {x.channels} channels")
        slope = scope.constant(".slope", codes.repeat(x.channels // len(codes)), type)
        result = scope.add("", ops.PReLU(self.slope_quant.spec.k_hot), x, slope)
        return lower_cast(scope, ".quant", self.quant, result)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}"
