"""Lookup: any scalar function between two formats, as a table with one entry per code.

table[i] = cast(f((lowest code + i) * 2**-frac))      f in float64, then the rounding and the overflow of the output format

Training computes f itself between the two casts, so that gradients flow through it. Eval reads the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from qfx import ops
from qfx.errors import QuantizationError
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn._evaluation import Constants
from qfx.nn.layer import Layer, lower_cast
from qfx.ops.lookup import MAX_INPUT_WIDTH
from qfx.quant import Quantizer, QuantSpec
from qfx.quant.tracing import unseen

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Applied:
    """A function of a tensor with constants as its other arguments; it can be written to a file, as a closure cannot."""

    function: Callable[..., Tensor]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(x, *self.args, **self.kwargs)


SIGNED = QuantSpec.activations(8, signed=True)
UNSIGNED = QuantSpec.activations(8)


class Lookup(Layer):
    """A scalar function as a table.

    Values: `.pre` after the cast of the input, where that changes its format; the entry under the layer's path.

    Args:
        function: of a tensor, element by element, made of torch functions; finite for every code of `input`.
        input: format of the input, at most 16 bits wide; the table has 2**width entries.
        output: format of the result.
        name: of the function, for the graph; None for its own.

    Shapes: any -> the same.
    """

    def __init__(
        self, function: Function, input: QuantSpec = SIGNED, output: QuantSpec = SIGNED, *, name: str | None = None
    ) -> None:
        super().__init__()
        if input.width > MAX_INPUT_WIDTH:
            raise QuantizationError(
                f"Lookup: an input of {input.width} bits would need 2**{input.width} entries; at most {MAX_INPUT_WIDTH} bits"
            )
        self.function = function
        self.label = name if name is not None else getattr(function, "__name__", type(function).__name__)
        self.pre, self.quant = Quantizer(input), Quantizer(output)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cast(".pre", self.pre, x)
        if self.exact and self.pre.ready and self.quant.ready:
            return self.emit(self.tap("", self._read(x)))
        return self.quant(self.function(x))

    def _read(self, x: Tensor) -> Tensor:
        with unseen():
            type = self.pre.fixed_type()
        index = (x * 2.0**type.frac).to(torch.int64) - type.min_int
        (table,) = self.kept_constants()
        assert table is not None
        return table.to(self.to_accumulator("", x))[index]

    def constants(self) -> Constants:
        return (self.table(),)

    def table(self) -> Tensor:
        """The result for every code of the input, lowest first; float64, computed on the CPU whatever the model is on.

        Raises:
            QuantizationError: not calibrated, or a function that is not finite or not element by element.
        """
        type = self.pre.fixed_type()
        points = torch.arange(type.min_int, type.max_int + 1, dtype=torch.float64, device="cpu") * 2.0**-type.frac
        with torch.no_grad():
            values = self.function(points)
            if values.shape != points.shape:
                raise QuantizationError(
                    f"Lookup of {self.label}: it makes {tuple(values.shape)} of {tuple(points.shape)}, not one each"
                )
            if not bool(torch.isfinite(values).all()):
                first = float(points[~torch.isfinite(values)][0])
                raise QuantizationError(
                    f"Lookup of {self.label}: it is not finite at {first:g}, a code of its {type.ap_name} input"
                )
            return self.quant(values.to(self.quant.frac.device))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        if x.type != self.pre.fixed_type():
            x = lower_cast(scope, ".pre", self.pre, x)
        type = self.quant.fixed_type()
        codes = (self.table().cpu() * 2.0**type.frac).to(torch.int64).numpy()
        return scope.add("", ops.Lookup(self.label), x, scope.constant(".table", codes, type))

    def extra_repr(self) -> str:
        return self.label


class Sigmoid(Lookup):
    """`torch.nn.Sigmoid` as a table.

    Shapes: any -> the same.
    """

    def __init__(self, input: QuantSpec = SIGNED, output: QuantSpec = UNSIGNED) -> None:
        super().__init__(torch.sigmoid, input, output)


class Hardsigmoid(Lookup):
    """`torch.nn.Hardsigmoid` as a table.

    Shapes: any -> the same.
    """

    def __init__(self, input: QuantSpec = SIGNED, output: QuantSpec = UNSIGNED) -> None:
        super().__init__(functional.hardsigmoid, input, output, name="hardsigmoid")


class Tanh(Lookup):
    """`torch.nn.Tanh` as a table.

    Shapes: any -> the same.
    """

    def __init__(self, input: QuantSpec = SIGNED, output: QuantSpec = SIGNED) -> None:
        super().__init__(torch.tanh, input, output)


class SiLU(Lookup):
    """`torch.nn.SiLU` as a table.

    Shapes: any -> the same.
    """

    def __init__(self, inplace: bool = False, input: QuantSpec = SIGNED, output: QuantSpec = SIGNED) -> None:
        super().__init__(functional.silu, input, output, name="silu")


class Hardswish(Lookup):
    """`torch.nn.Hardswish` as a table.

    Shapes: any -> the same.
    """

    def __init__(self, inplace: bool = False, input: QuantSpec = SIGNED, output: QuantSpec = SIGNED) -> None:
        super().__init__(functional.hardswish, input, output, name="hardswish")


class GELU(Lookup):
    """`torch.nn.GELU` as a table.

    Args:
        approximate: `none` or `tanh`, as in torch.

    Shapes: any -> the same.
    """

    def __init__(self, approximate: str = "none", input: QuantSpec = SIGNED, output: QuantSpec = SIGNED) -> None:
        super().__init__(Applied(functional.gelu, (), {"approximate": approximate}), input, output, name="gelu")


class Exp(Lookup):
    """`torch.exp` as a table.

    Shapes: any -> the same.
    """

    def __init__(self, input: QuantSpec = SIGNED, output: QuantSpec = UNSIGNED) -> None:
        super().__init__(torch.exp, input, output)
