"""K-hot projection: the nearest sum of at most K signed powers of two.

Greedy is optimal for signed digits: K times, add the signed power of two nearest to the residual. (Checked exhaustively in
the tests; truncating a CSD recoding is not optimal.) The value is projected as it is, not rounded first, which would
move some results off the optimum.

The digits have exponents 0..M, where M = width - 1 (signed) or width (unsigned), then the code is clipped:

    K >= 2: to the ends of the range. 2**M - 1 has two digits, so K is kept.
    K == 1: to 2**(M-1) on the positive side, since 2**M - 1 would have two digits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qfx.fixed import FixedType
from qfx.quant.rounding import wrong_dtype


def project_k_hot(x: Tensor, k: int, type: FixedType) -> tuple[Tensor, Tensor]:
    """The K-hot code nearest to each element, ties away from zero.

    Args:
        x: values in units of one code step, float32 or float64, any shape.
        k: most signed digits of a code.
        type: width and sign of the codes.

    Returns:
        the codes (integer-valued, dtype of x), and where the value lay inside the range, so that no clipping took place.
    """
    magnitude_bits = type.width - 1 if type.signed else type.width
    codes, residual = torch.zeros_like(x), x
    for _ in range(k):
        digit = _nearest_power(residual, magnitude_bits)
        codes, residual = codes + digit, residual - digit
    high = type.max_int if k > 1 else 2 ** (magnitude_bits - 1) if magnitude_bits else 0
    clipped = codes.clamp(type.min_int, high)
    # Values beyond the largest power take it without clipping; their distance, not the clip, says that they are outside.
    return clipped, (clipped == codes) & (x > type.min_int - 1) & (x < type.max_int + 1)


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
