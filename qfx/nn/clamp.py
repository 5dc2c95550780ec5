"""ReLU6 and Hardtanh: exact limits, followed by a Requantize."""

from __future__ import annotations

import math
from fractions import Fraction

from torch import Tensor

from qfx import ops
from qfx.errors import QuantizationError
from qfx.ir import Value
from qfx.nn.layer import Layer, lower_cast
from qfx.nn.scope import Scope
from qfx.quant import Quantizer, QuantSpec

DEFAULT_SIGNED = QuantSpec.activations(8, signed=True)
DEFAULT_UNSIGNED = QuantSpec.activations(8)
MAX_BOUND_FRAC = 24
"""Finest grid of a bound. The bound is a constant of the network; on a finer grid every value after it gets wider for its sake."""


def code_of(value: float | Fraction, frac: int) -> int | None:
    """`value * 2**frac` where that is an integer."""
    scaled = Fraction(value) * Fraction(2) ** frac
    return scaled.numerator if scaled.denominator == 1 else None


def coarsest_frac(value: float | Fraction) -> int:
    """The least frac at which `value`, finite and not 0, has a code."""
    fraction = Fraction(value)
    odd = fraction.numerator & -fraction.numerator  # the power of two in it
    return fraction.denominator.bit_length() - odd.bit_length()


def clamp_op(low: float | None, high: float | None) -> ops.Clamp:
    """The op that limits to `low` and `high`, on the coarsest grid that has both; infinite means no bound.

    Raises:
        QuantizationError: no bound at all, or one that is on no grid of up to 24 fractional bits.
    """
    bounds = [bound if bound is not None and math.isfinite(bound) else None for bound in (low, high)]
    if bounds == [None, None] or any(bound is not None and math.isnan(bound) for bound in (low, high)):
        raise QuantizationError(f"a clamp to {low}..{high} has no bound; leave it out")
    fracs = [coarsest_frac(bound) for bound in bounds if bound]
    frac = max(fracs, default=0)
    if frac > MAX_BOUND_FRAC:
        finest = next(bound for bound in bounds if bound and coarsest_frac(bound) == frac)
        raise QuantizationError(
            f"the bound {finest} is on no grid 2**-{MAX_BOUND_FRAC} or coarser; take a near multiple of a power of two, such as "
            f"{round(finest * 256) / 256}"
        )
    codes = [None if bound is None else code_of(bound, frac) for bound in bounds]
    return ops.Clamp(codes[0], codes[1], frac)


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
