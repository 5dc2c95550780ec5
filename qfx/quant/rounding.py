"""Rounding and overflow on float tensors that hold integers, exact for |x| < 2**24 (float32) or 2**53 (float64).

Written apart from `qfx.fixed`, so that the agreement of torch and the integer engines is evidence.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qfx.errors import QuantizationError
from qfx.fixed import FixedType, Overflow, Rounding


def exp2(exponent: Tensor, dtype: torch.dtype) -> Tensor:
    """`2**exponent` for an integer tensor, built from the bit pattern: `torch.exp2` and `pow` may be off by one ulp.

    Exponents lie in -126..127 (float32) or -1022..1023 (float64).
    """
    if dtype == torch.float32:
        return ((exponent.to(torch.int32) + 127) << 23).view(torch.float32)
    if dtype == torch.float64:
        return ((exponent.to(torch.int64) + 1023) << 52).view(torch.float64)
    raise wrong_dtype(dtype)


def wrong_dtype(dtype: torch.dtype) -> QuantizationError:
    """The error for what quantizers do not compute in."""
    return QuantizationError(f"quantizers work in float32 or float64, not in {dtype}; switch autocast and half precision off")


def _half_up(x: Tensor) -> Tensor:
    # floor(x + 0.5) is wrong: in float32, 0.49999997 + 0.5 is 1. The difference below is exact where it decides.
    floor = torch.floor(x)
    return floor + (x - floor >= 0.5).to(x.dtype)


def _half_down(x: Tensor) -> Tensor:
    return -_half_up(-x)


_ROUND: dict[Rounding, Callable[[Tensor], Tensor]] = {
    Rounding.TRN: torch.floor,
    Rounding.TRN_ZERO: torch.trunc,
    Rounding.RND: _half_up,
    Rounding.RND_MIN_INF: _half_down,
    Rounding.RND_INF: lambda x: torch.sign(x) * _half_up(x.abs()),
    Rounding.RND_ZERO: lambda x: torch.sign(x) * _half_down(x.abs()),
    Rounding.RND_CONV: torch.round,
}


def round_to_integer(x: Tensor, rounding: Rounding) -> Tensor:
    """The integer that `rounding` chooses for each element."""
    return _ROUND[rounding](x)


def _saturate_symmetric(codes: Tensor, type: FixedType) -> Tensor:
    # One signed bit has no symmetric range; the vendor's headers keep -1 there.
    low = (-type.max_int if type.width > 1 else -1) if type.signed else 0
    return codes.clamp(low, type.max_int)


def _saturate_zero(codes: Tensor, type: FixedType) -> Tensor:
    return torch.where((codes >= type.min_int) & (codes <= type.max_int), codes, torch.zeros_like(codes))


def _wrap(codes: Tensor, type: FixedType) -> Tensor:
    turns = torch.floor((codes - type.min_int) * 2.0**-type.width)
    return codes - turns * 2.0**type.width


def _wrap_sign_magnitude(codes: Tensor, x: Tensor, type: FixedType) -> Tensor:
    wrapped = _wrap(codes, type)
    turns = torch.floor(x * 2.0**-type.width)  # its lowest bit is the lowest that is lost, taken before rounding
    lost = turns != 2 * torch.floor(turns / 2)
    return torch.where((wrapped != codes) & (lost != (wrapped < 0)), -1 - wrapped, wrapped)


_OVERFLOW: dict[Overflow, Callable[[Tensor, FixedType], Tensor]] = {
    Overflow.SAT: lambda codes, type: codes.clamp(type.min_int, type.max_int),
    Overflow.SAT_SYM: _saturate_symmetric,
    Overflow.SAT_ZERO: _saturate_zero,
    Overflow.WRAP: _wrap,
}


def handle_overflow(codes: Tensor, x: Tensor, type: FixedType, overflow: Overflow) -> Tensor:
    """Integer-valued `codes` brought into the range of `type`; `type.frac` plays no part.

    Args:
        codes: rounded.
        x: what they were rounded from; AP_WRAP_SM looks at it.
        type: signed, if the mode is AP_WRAP_SM.
    """
    if overflow is Overflow.WRAP_SM:
        return _wrap_sign_magnitude(codes, x, type)
    return _OVERFLOW[overflow](codes, type)
