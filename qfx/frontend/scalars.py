"""Scalar constants beside tensors, and bounds: exact where they are multiples of a power of two, neither too wide nor too fine."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from qfx import ops
from qfx.errors import LoweringError, QuantizationError
from qfx.fixed import FixedType
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.ops.base import signed_digits

MAX_BITS = 24
"""Of a constant, from its highest bit to its lowest, as float32 holds them; and its finest grid is 2**-24, as that of a bound."""
MAX_BOUND_FRAC = 24
"""Finest grid of a bound. The bound is a constant of the network; on a finer grid every value after it gets wider for its sake."""
MOST_DIGITS = 2
"""Signed digits up to which a factor is multiplied by shifts and additions."""


def exact(number: object) -> Fraction:
    """The constant as it is.

    Raises:
        LoweringError: no real number, or one that is not finite, too wide or too fine.
    """
    if not isinstance(number, int | float | Fraction):
        raise LoweringError(f"{number!r} is neither a computed tensor nor a scalar constant; use one, or layers of qfx.nn")
    if not math.isfinite(number):
        raise LoweringError(f"the scalar constant {number} is not finite; use one that is")
    fraction = Fraction(number)
    if not _fits(fraction):
        near = _near(float(number))
        other = f"a near one, such as {near}" if _fits(Fraction(near)) else f"one from 2**-{MAX_BITS} to below 2**{MAX_BITS}"
        raise LoweringError(
            f"the scalar constant {number} is no multiple of 2**-{MAX_BITS} of at most {MAX_BITS} bits; take {other}, or use"
            " qfx.nn.BatchNorm2d, whose scales and offsets have formats"
        )
    return fraction


def inverse(number: object) -> Fraction:
    """What to multiply with instead of dividing.

    Raises:
        LoweringError: it is no power of two, or zero.
    """
    divisor = Fraction(number) if isinstance(number, int | float) and math.isfinite(number) else exact(number)
    if divisor == 0:
        raise LoweringError("dividing by 0 has no result; leave it out")
    if not _fits(1 / divisor):
        raise LoweringError(
            f"dividing by {number} is not exact; take a power of two, or multiply by a near constant, such as "
            f"{_near(float(1 / divisor))}"
        )
    return 1 / divisor


def _fits(number: Fraction) -> bool:
    scaled = number * 2**MAX_BITS
    frac = coarsest_frac(number) if number else 0
    return scaled.denominator == 1 and abs(number) < 2**MAX_BITS and abs(number) * Fraction(2) ** frac < 2**MAX_BITS


def _near(number: float) -> float:
    """The nearest number of 8 bits."""
    mantissa, exponent = math.frexp(number)
    return math.ldexp(round(mantissa * 256), exponent - 8)


def line(scope: Scope, x: Value, factor: Fraction, offset: Fraction) -> Value:
    """`factor * x + offset`: a power of two moves the binary point, what else there is takes an affine with one scale for all."""
    if offset == 0 and factor > 0 and factor.numerator & (factor.numerator - 1) == 0:
        power = -coarsest_frac(factor)
        return x if power == 0 else scope.add("", ops.Shift(power), x)
    scale = _constant(scope, ".scale", factor, 0)
    added = _constant(scope, ".offset", offset, x.type.frac + scale.type.frac)
    digits = max(1, int(signed_digits(scale.codes)[0]))
    return scope.add("", ops.Affine(digits if digits <= MOST_DIGITS else None), x, scale, added)


def _constant(scope: Scope, suffix: str, number: Fraction, frac: int) -> Value:
    """The number in the narrowest format of (1,); zero at `frac`."""
    frac = coarsest_frac(number) if number else frac
    code = code_of(number, frac) or 0
    return scope.constant(suffix, np.array([code]), FixedType.for_range(min(code, 0), max(code, 0), frac))


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
