"""K-hot projection: the nearest sum of at most K signed powers of two.

Greedy is optimal for signed digits: K times, add the signed power of two nearest to the residual. (Checked exhaustively in
the tests; truncating a CSD recoding is not optimal.) The value is projected as it is, not rounded first, which would
move some results off the optimum.

The digits have exponents 0..M, where M = width - 1 (signed) or width (unsigned), then the code is clipped:

    K >= 2: to the ends of the range. 2**M - 1 has two digits, so K is kept.
    K == 1: to 2**(M-1) on the positive side, since 2**M - 1 would have two digits.

A smaller M may be asked for, if K * 2**M is still a code: those are the ends then, and nothing is clipped to fewer digits.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from qfx.annotations import explained
from qfx.fixed import FixedType
from qfx.quant.rounding import wrong_dtype

TABLE_WIDTH = 10
"""Codes of up to this many bits are looked up in a table of all results, in fewer passes than one digit takes."""


@explained
def project_k_hot(x: Tensor, k: int, type: FixedType, most: int | None = None) -> tuple[Tensor, Tensor]:
    """The K-hot code nearest to each element, ties away from zero.

    Args:
        x: values in units of one code step, float32 or float64, any shape.
        k: most signed digits of a code.
        type: width and sign of the codes.
        most: largest exponent of a digit; None for what the width holds.

    Returns:
        the codes (integer-valued, dtype of x), and where the value lay inside the range, so that no clipping took place.
    """
    if type.width > TABLE_WIDTH or torch.compiler.is_compiling():
        return _greedy(x, k, type, most)
    doubled = (x * 2).nan_to_num_(0).clamp_(2 * type.min_int - 4, 2 * type.max_int + 4)
    index = doubled.floor().add_(doubled.ceil_()).to(torch.int64).sub_(4 * type.min_int - 8)
    codes, inside = _table(k, type, most, x.dtype, x.device)
    return codes[index], inside[index]


def _greedy(x: Tensor, k: int, type: FixedType, most: int | None) -> tuple[Tensor, Tensor]:
    low, high, (least, largest), exponent = limits(k, type, most)
    codes, residual = torch.zeros_like(x), x
    for _ in range(k):
        digit = _nearest_power(residual, exponent)
        codes, residual = codes + digit, residual - digit
    clipped = codes.clamp(low, high)
    # Values beyond the largest power take it without clipping; their distance, not the clip, says that they are outside.
    return clipped, (clipped == codes) & (x > least - 1) & (x < largest + 1)


@cache
def _table(k: int, type: FixedType, most: int | None, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """`_greedy` of every quarter from two steps below the range to two above.

    All its comparisons are with multiples of a half, so between two of these it gives one result, that of the quarter there. x
    belongs to the quarter number floor(2 x) + ceil(2 x).
    """
    with torch.inference_mode(False):
        quarters = torch.arange(4 * type.min_int - 8, 4 * type.max_int + 9, dtype=dtype, device=device) / 4
        return _greedy(quarters, k, type, most)


def limits(k: int, type: FixedType, most: int | None) -> tuple[int, int, tuple[int, int], int]:
    """The ends of the codes, those of the values that count as inside, and the largest exponent of a digit."""
    if most is not None:
        reach = k * 2**most
        ends = (-reach if type.signed else 0, reach)
        return *ends, ends, most
    magnitude_bits = type.width - 1 if type.signed else type.width
    high = type.max_int if k > 1 else 2 ** (magnitude_bits - 1) if magnitude_bits else 0
    return type.min_int, high, (type.min_int, type.max_int), magnitude_bits


def _nearest_power(x: Tensor, most: int) -> Tensor:
    """The signed power of two, exponent 0..most, or zero, that is nearest to each element."""
    magnitude = x.abs()
    # Half a mantissa more, rounded down to a power of two: 1.5 * 2**e and what is above it becomes 2**(e + 1).
    if x.dtype == torch.float32:
        power = magnitude.view(torch.int32).add(1 << 22).bitwise_and_(0x7F800000).view(torch.float32)
    elif x.dtype == torch.float64:
        power = magnitude.view(torch.int64).add(1 << 51).bitwise_and_(0x7FF << 52).view(torch.float64)
    else:
        raise wrong_dtype(x.dtype)
    return torch.where(magnitude >= 0.5, power.clamp_(1, 2.0**most).copysign_(x), 0)
