"""What a quantizer is asked for: width, sign, binary point, K-hot digits, rounding and overflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qfx.annotations import explained
from qfx.checks import Check, choice, flag, keep, or_none, whole
from qfx.errors import FormatError, QuantizationError
from qfx.fixed import FixedType, Overflow, Rounding, check_overflow

MAX_WIDTH = 53
"""Widest quantizer: torch computes in float64, which holds 53 bits."""

MAX_FRAC = 64
"""Largest |frac| of a quantizer: `2**frac` and `2**-frac` times any sensible value stay normal in float32."""


@dataclass(frozen=True)
class QuantSpec:
    """One number format to be found or learned.

    Attributes:
        width: bits of a code.
        signed: two's complement codes if True, else codes from 0.
        frac: binary point to start from; None for the one with the least squared error on the calibration data.
        learn: whether training moves the binary point.
        per_channel: one binary point per channel (axis 0); constants only, since a graph value has one format.
        k_hot: codes are sums of at most this many signed powers of two, the digits; None for all codes.
        max_exponent: largest exponent of a digit, which is 2**0 to 2**max_exponent steps; None for what the width holds. With frac
            it is the range of digits: 2**-frac to 2**(max_exponent - frac).
        rounding: which neighbour on the grid is taken. K-hot codes are nearest, ties away from zero.
        overflow: what becomes of values outside the range. Both modes may be given by name, as "AP_RND".
        scale_gradient: whether the gradient of a binary point is divided by sqrt(n * largest code), n the values that share it, as
            LSQ does for its step; for optimizers that do not normalise, such as plain SGD.

    Raises:
        QuantizationError: a field is of another type, or out of its range.
    """

    width: int
    signed: bool = True
    frac: int | None = None
    learn: bool = True
    per_channel: bool = False
    k_hot: int | None = None
    max_exponent: int | None = None
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT
    scale_gradient: bool = False

    def __post_init__(self) -> None:
        keep(self, "a quantizer's format", _FIELDS, QuantizationError)
        if not 1 <= self.width <= MAX_WIDTH:
            raise QuantizationError(
                f"a quantizer of {self.width} bits is outside 1..{MAX_WIDTH}: torch computes in float64, which holds {MAX_WIDTH} "
                "bits; narrow it (formats up to 63 bits are for graphs built by hand, the simulator and the C++)"
            )
        if self.frac is not None and abs(self.frac) > MAX_FRAC:
            raise QuantizationError(f"frac {self.frac} of a quantizer is outside -{MAX_FRAC}..{MAX_FRAC}")
        if self.k_hot is not None and self.k_hot < 1:
            raise QuantizationError(f"k_hot={self.k_hot}: a K-hot code has at least one digit; use None for all codes")
        self._check_exponent()
        try:
            check_overflow(self.overflow, self.signed)
        except FormatError as error:
            raise QuantizationError(f"a quantizer of {self.width} bits: {error}") from error
        if self.k_hot is not None and self.overflow is not Overflow.SAT:
            raise QuantizationError(f"{self.k_hot}-hot codes saturate (AP_SAT); {self.overflow.value} would break their digits")

    def _check_exponent(self) -> None:
        if self.max_exponent is None:
            return
        if self.k_hot is None:
            raise QuantizationError(f"max_exponent={self.max_exponent} is about the digits of K-hot codes; give k_hot, too")
        if self.max_exponent < 0:
            raise QuantizationError(f"max_exponent={self.max_exponent}: the least digit is 2**0 steps; raise frac for smaller ones")
        held, sign = self.type(0).max_int, "signed" if self.signed else "unsigned"
        if self.largest > held:
            raise QuantizationError(
                f"{self.k_hot}-hot codes with exponents up to {self.max_exponent} reach {self.largest}, but {sign} codes of "
                f"{self.width} bits {held}; widen them or lower max_exponent"
            )

    @property
    def largest(self) -> int:
        """The largest code in magnitude, apart from -2**(width - 1)."""
        if self.k_hot is None or self.max_exponent is None:
            return self.type(0).max_int
        return self.k_hot * 2**self.max_exponent

    def with_digits(self, k_hot: int | None) -> QuantSpec:
        """The same with another number of digits; the limit of their exponents goes where it cannot stay."""
        free = replace(self, k_hot=k_hot, max_exponent=None)
        if k_hot is None or self.max_exponent is None or k_hot * 2**self.max_exponent > free.largest:
            return free
        return replace(free, max_exponent=self.max_exponent)

    @classmethod
    @explained
    def weights(
        cls,
        width: int,
        k_hot: int | None = None,
        per_channel: bool = False,
        learn: bool | None = None,
        max_exponent: int | None = None,
    ) -> QuantSpec:
        """Signed constants; the binary point is learned, or, per channel, stays as calibrated unless `learn` asks for more."""
        learn = not per_channel if learn is None else learn
        return cls(width, k_hot=k_hot, per_channel=per_channel, learn=learn, max_exponent=max_exponent)

    @classmethod
    def activations(cls, width: int, signed: bool = False) -> QuantSpec:
        """Activations with a learned binary point; unsigned unless said otherwise."""
        return cls(width, signed)

    @classmethod
    @explained
    def of(cls, type: FixedType, rounding: Rounding = Rounding.RND, overflow: Overflow = Overflow.SAT) -> QuantSpec:
        """A format that is known and stays."""
        return cls(type.width, type.signed, type.frac, learn=False, rounding=rounding, overflow=overflow)

    def type(self, frac: int) -> FixedType:
        """The format at binary point `frac`."""
        return FixedType(self.signed, self.width, frac)


_FIELDS: Mapping[str, Check] = {
    **dict.fromkeys(("signed", "learn", "per_channel", "scale_gradient"), flag),
    "width": whole(),
    **dict.fromkeys(("frac", "k_hot", "max_exponent"), or_none(whole())),
    "rounding": choice(Rounding),
    "overflow": choice(Overflow),
}
