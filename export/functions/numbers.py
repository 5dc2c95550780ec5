"""A tensor and a number: exact where the number is a multiple of a power of two, neither too wide nor too fine."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from qfx import ops
from qfx.errors import LoweringError
from qfx.fixed import FixedType
from qfx.ir import Value
from qfx.nn.clamp import coarsest_frac, code_of
from qfx.nn.scope import Scope
from qfx.ops.base import signed_digits

MAX_BITS = 24
"""Of a number, from its highest bit to its lowest, as float32 holds them; and its finest grid is 2**-24, as that of a bound."""
MOST_DIGITS = 2
"""Signed digits up to which a factor is multiplied by shifts and additions."""


def exact(number: object) -> Fraction:
    """The number as it is.

    Raises:
        LoweringError: no number, or one that is not finite, too wide or too fine.
    """
    if not isinstance(number, int | float | Fraction):
        raise LoweringError(f"{number!r} is neither a computed tensor nor a number; use numbers, or layers of qfx.nn")
    if not math.isfinite(number):
        raise LoweringError(f"the number {number} is not finite; use one that is")
    fraction = Fraction(number)
    if not _fits(fraction):
        near = _near(float(number))
        other = f"a near one, such as {near}" if _fits(Fraction(near)) else f"one from 2**-{MAX_BITS} to below 2**{MAX_BITS}"
        raise LoweringError(
            f"the number {number} is no multiple of 2**-{MAX_BITS} of at most {MAX_BITS} bits; take {other}, or use"
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
            f"dividing by {number} is not exact; take a power of two, or multiply by a near number, such as "
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
