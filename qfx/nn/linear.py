"""Linear: quantized weight and bias, exact accumulator."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from qfx import ops
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn._evaluation import Constants
from qfx.nn.conv2d import DEFAULT_WEIGHT, bias_format
from qfx.nn.layer import Layer, lower_cast, lower_constant
from qfx.quant import Quantizer, QuantSpec
from qfx.quant.exact_arithmetic import exact_arithmetic


class Linear(Layer):
    """`torch.nn.Linear` with a fixed-point weight and bias. No cast follows unless `accumulator` is given.

    Values: the exact accumulator under the layer's path; `.acc` after the cast.

    Args:
        weight: format of the weight (out, in); per channel means per output.
        bias: whether there is one (out,), or its format.
        accumulator: a Requantize of the accumulator.

    Shapes: (batch, in_features) -> (batch, out_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool | QuantSpec = True,
        *,
        weight: QuantSpec = DEFAULT_WEIGHT,
        accumulator: QuantSpec | None = None,
    ) -> None:
        super().__init__()
        plain = nn.Linear(in_features, out_features, bool(bias))
        self.weight: Tensor = plain.weight
        self.bias: Tensor | None = plain.bias if bias else None
        self.weight_quant = Quantizer(weight, out_features)
        self.bias_quant = Quantizer(bias_format(bias), out_features) if bias else None
        self.acc = None if accumulator is None else Quantizer(accumulator)

    def constants(self) -> Constants:
        weight = self.to_accumulator("", self.weight_quant(self.weight))
        bias = None if self.bias is None or self.bias_quant is None else self.to_accumulator("", self.bias_quant(self.bias))
        return weight, bias

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.kept_constants()
        assert weight is not None
        x = self.to_accumulator("", x)
        if self.exact:
            with exact_arithmetic(x.device):
                total = functional.linear(x, weight, bias)
        else:
            total = functional.linear(x, weight, bias)
        return self.emit(self.cast(".acc", self.acc, self.tap("", total)))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        constants = [lower_constant(scope, ".weight", self.weight_quant, self.weight)]
        if self.bias is not None and self.bias_quant is not None:
            constants.append(lower_constant(scope, ".bias", self.bias_quant, self.bias))
        return lower_cast(scope, ".acc", self.acc, scope.add("", ops.Linear(self.weight_quant.spec.k_hot), x, *constants))

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}"
