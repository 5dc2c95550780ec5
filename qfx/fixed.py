"""Number formats, and the only code in QFX that rounds or saturates an integer.

A fixed-point value is `code * 2**-frac` with an integer code of `width` bits. `FixedType` names the format,
`cast` moves codes from one format to another the way `ap_fixed<W, I, Q, O>` does on assignment (UG1399). Where AMD's open
headers depart from IEEE 1666, `cast` follows the headers; docs/ir.md lists the places.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qfx.annotations import explained
from qfx.checks import Check, argument, flag, instance, keep, whole
from qfx.errors import FormatError

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAX_WIDTH = 63
"""Widest code: an int64 holds it, its negation and its successor."""

MAX_FRAC = 512
"""Largest |frac|; beyond it `2**-frac` leaves float64's comfortable range."""


class Rounding(enum.Enum):
    """Quantization mode: which neighbour on the coarser grid is taken. Each line fixes the tie rule."""

    TRN = "AP_TRN"
    """Towards minus infinity (drop the bits); the ap_fixed default."""
    TRN_ZERO = "AP_TRN_ZERO"
    """Towards zero."""
    RND = "AP_RND"
    """Nearest, ties towards plus infinity."""
    RND_ZERO = "AP_RND_ZERO"
    """Nearest, ties towards zero."""
    RND_INF = "AP_RND_INF"
    """Nearest, ties away from zero."""
    RND_MIN_INF = "AP_RND_MIN_INF"
    """Nearest, ties towards minus infinity."""
    RND_CONV = "AP_RND_CONV"
    """Nearest, ties to the even code."""


class Overflow(enum.Enum):
    """Overflow mode: what a code outside the range becomes."""

    WRAP = "AP_WRAP"
    """Keep the low bits; the ap_fixed default."""
    SAT = "AP_SAT"
    """The nearest end of the range."""
    SAT_ZERO = "AP_SAT_ZERO"
    """Zero."""
    SAT_SYM = "AP_SAT_SYM"
    """The nearest end of the symmetric range, -max .. max."""
    WRAP_SM = "AP_WRAP_SM"
    """The low bits, inverted where the lowest bit that is lost differs from their sign; that bit becomes the sign. Signed only."""


@dataclass(frozen=True)
class FixedType:
    """The format of a fixed-point value: `value = code * 2**-frac`.

    Attributes:
        signed: two's complement codes if True, else codes from 0.
        width: total bits, 1 to 63.
        frac: bits right of the binary point; may be negative or larger than width.

    Raises:
        FormatError: a field is of another type, or out of its range.
    """

    signed: bool
    width: int
    frac: int

    def __post_init__(self) -> None:
        if not (type(self.width) is type(self.frac) is int and type(self.signed) is bool):  # formats are made by the thousand
            keep(self, "a fixed-point format", _FIELDS, FormatError)
        if not 1 <= self.width <= MAX_WIDTH:
            raise FormatError(f"a fixed-point width of {self.width} bits is outside 1..{MAX_WIDTH}")
        if abs(self.frac) > MAX_FRAC:
            raise FormatError(f"frac {self.frac} is outside -{MAX_FRAC}..{MAX_FRAC}")

    @classmethod
    @explained
    def for_range(cls, low: int, high: int, frac: int) -> FixedType:
        """The narrowest format that holds every code from `low` to `high`; unsigned if `low >= 0`.

        Raises:
            FormatError: the range needs more than 63 bits.
        """
        low, high = (argument("a code range", name, value, whole(), FormatError) for name, value in (("low", low), ("high", high)))
        if low > high:
            raise FormatError(f"an empty code range: low {low} is above high {high}")
        signed = low < 0
        width = max(max(high, 0).bit_length(), (~low).bit_length()) + 1 if signed else max(1, high.bit_length())
        if width > MAX_WIDTH:
            raise FormatError(f"codes from {low} to {high} need {width} bits, above the limit of {MAX_WIDTH}; narrow the operands")
        return cls(signed, width, frac)

    @property
    def integer(self) -> int:
        """Bits left of the binary point, sign included: HLS's I."""
        return self.width - self.frac

    @property
    def min_int(self) -> int:
        """Smallest code."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max_int(self) -> int:
        """Largest code."""
        return (1 << (self.width - 1)) - 1 if self.signed else (1 << self.width) - 1

    @property
    def max_abs(self) -> int:
        """Largest magnitude of a code."""
        return max(-self.min_int, self.max_int)

    @property
    def step(self) -> float:
        """The value of one code step, `2**-frac`, exact."""
        return 2.0**-self.frac

    @property
    def ap_name(self) -> str:
        """The C++ name: `ap_fixed<W, I>` or `ap_ufixed<W, I>`."""
        return f"ap_{'' if self.signed else 'u'}fixed<{self.width}, {self.integer}>"

    def contains(self, codes: IntArray) -> bool:
        """Whether every code fits this format."""
        return codes.size == 0 or bool(codes.min() >= self.min_int and codes.max() <= self.max_int)

    def to_real(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Real values of `codes` (any shape), exact for codes below 2**53."""
        return np.ldexp(codes.astype(np.float64), -self.frac)


_FIELDS: Mapping[str, Check] = {"signed": flag, "width": whole(), "frac": whole()}


def code_dtype(type: FixedType) -> np.dtype[np.integer]:
    """The narrowest integer dtype, of 8 to 64 bits and the sign of `type`, that holds every code of `type`."""
    bits = next(bits for bits in (8, 16, 32, 64) if type.width <= bits)
    return np.dtype(f"{'' if type.signed else 'u'}int{bits}")


@explained
def cast(
    codes: IntArray, source: FixedType, target: FixedType, rounding: Rounding = Rounding.RND, overflow: Overflow = Overflow.SAT
) -> IntArray:
    """Codes of `source` as codes of `target`, as `ap_fixed` does it: round, then handle overflow.

    Args:
        codes: int64, any shape, all within `source`.

    Returns:
        int64, same shape, all within `target`.

    Raises:
        FormatError: AP_WRAP_SM into an unsigned format.
    """
    check_overflow(overflow, target.signed)
    argument("a cast", "rounding", rounding, instance(Rounding), FormatError)
    up = max(target.frac - source.frac, 0)
    down = max(source.frac - target.frac, 0)
    rounded = _round_shift(codes, down, rounding)
    if overflow is Overflow.WRAP_SM:
        return _wrap_sign_magnitude(codes, down, rounded, up, target)
    return _OVERFLOW[overflow](rounded, up, target)


def check_overflow(overflow: Overflow, signed: bool) -> None:
    """Refuse what AMD's headers refuse, and what is no mode.

    Raises:
        FormatError: AP_WRAP_SM into an unsigned format; another type.
    """
    argument("a cast", "overflow", overflow, instance(Overflow), FormatError)
    if overflow is Overflow.WRAP_SM and not signed:
        raise FormatError(
            "AP_WRAP_SM has no meaning in an unsigned format, and AMD's headers refuse ap_ufixed with it; make the format signed, "
            "or use AP_WRAP, AP_SAT, AP_SAT_ZERO or AP_SAT_SYM"
        )


def _round_shift(codes: IntArray, shift: int, rounding: Rounding) -> IntArray:
    """`round(codes / 2**shift)`: the floor, plus one where the rounding mode says so."""
    if shift == 0:
        return codes
    if shift > MAX_WIDTH:  # |codes| < 2**63 <= 2**(shift-1): less than half a step from zero, never a tie
        floor = codes >> MAX_WIDTH
        above, tie = floor < 0, np.zeros(codes.shape, np.bool_)
    else:
        floor = codes >> shift
        rest = codes - (floor << shift)
        half = 1 << (shift - 1)
        above, tie = rest > half, rest == half
    inexact = codes != 0 if shift > MAX_WIDTH else (floor << shift) != codes
    return floor + _ROUND_UP[rounding](floor, above, tie, inexact).astype(np.int64)


RoundUp = Callable[[IntArray, BoolArray, BoolArray, BoolArray], BoolArray]

_ROUND_UP: dict[Rounding, RoundUp] = {
    # floor, above half, exactly half, not on the grid  ->  whether the result is floor + 1
    Rounding.TRN: lambda floor, above, tie, inexact: np.zeros(floor.shape, np.bool_),
    Rounding.TRN_ZERO: lambda floor, above, tie, inexact: inexact & (floor < 0),
    Rounding.RND: lambda floor, above, tie, inexact: above | tie,
    Rounding.RND_ZERO: lambda floor, above, tie, inexact: above | (tie & (floor < 0)),
    Rounding.RND_INF: lambda floor, above, tie, inexact: above | (tie & (floor >= 0)),
    Rounding.RND_MIN_INF: lambda floor, above, tie, inexact: above,
    Rounding.RND_CONV: lambda floor, above, tie, inexact: above | (tie & (floor % 2 != 0)),
}


def _scaled(codes: IntArray, up: int) -> IntArray:
    """`codes * 2**up` modulo 2**64."""
    return codes << up if up < 64 else np.zeros_like(codes)


def _outside(codes: IntArray, up: int, low: int, high: int) -> tuple[BoolArray, BoolArray]:
    """Where `codes * 2**up` lies below `low` and above `high`, without computing the product."""
    return codes < -(-low >> up), codes > high >> up


def _wrap(codes: IntArray, up: int, target: FixedType) -> IntArray:
    bits = _scaled(codes, up) & ((1 << target.width) - 1)
    return bits - ((bits & (1 << (target.width - 1))) << 1) if target.signed else bits


def _wrap_sign_magnitude(codes: IntArray, down: int, rounded: IntArray, up: int, target: FixedType) -> IntArray:
    """AP_WRAP_SM of `rounded * 2**up`, where `rounded` came from `codes / 2**down`.

    The lost bit is that of weight 2**width in the value before rounding: AMD's headers look at it there, SystemC after rounding.
    """
    wrapped = _wrap(rounded, up, target)
    below, above = _outside(rounded, up, target.min_int, target.max_int)
    place = down + target.width - up  # of the lost bit in `codes`
    lost = codes >> min(place, MAX_WIDTH) & 1 if place >= 0 else np.zeros_like(codes)
    return np.where((below | above) & (lost != (wrapped < 0)), ~wrapped, wrapped)


def _clamp(low: int, high: int, outside_low: int, outside_high: int) -> Callable[[IntArray, int], IntArray]:
    def clamp(codes: IntArray, up: int) -> IntArray:
        below, above = _outside(codes, up, low, high)
        return np.where(below, outside_low, np.where(above, outside_high, _scaled(codes, up)))

    return clamp


def _saturate(codes: IntArray, up: int, target: FixedType) -> IntArray:
    return _clamp(target.min_int, target.max_int, target.min_int, target.max_int)(codes, up)


def _saturate_zero(codes: IntArray, up: int, target: FixedType) -> IntArray:
    return _clamp(target.min_int, target.max_int, 0, 0)(codes, up)


def _saturate_symmetric(codes: IntArray, up: int, target: FixedType) -> IntArray:
    # A signed 1-bit type has no symmetric range: AMD's headers keep -1 for a negative overflow (measured).
    low = (-target.max_int if target.width > 1 else -1) if target.signed else 0
    return _clamp(low, target.max_int, low, target.max_int)(codes, up)


_OVERFLOW: dict[Overflow, Callable[[IntArray, int, FixedType], IntArray]] = {
    Overflow.WRAP: _wrap,
    Overflow.SAT: _saturate,
    Overflow.SAT_ZERO: _saturate_zero,
    Overflow.SAT_SYM: _saturate_symmetric,
}
