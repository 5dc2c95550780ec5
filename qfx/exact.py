"""What a float carries of an integer: the accumulator dtypes, each with its limit, stated once.

An accumulator is exact while every operand, product and partial sum stays below the limit of its dtype (invariant 4). A number that
is only stored, and not computed with, may have the limit's magnitude itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from qfx.errors import ExactnessError

LIMITS = {"float32": 1 << 24, "float64": 1 << 53, "int64": 1 << 63}
"""Accumulator dtype -> limit of the magnitudes, narrowest first. The first two are the floating-point ones."""
FLOATS = ("float32", "float64")
"""The dtypes of torch and ONNX, which compute in floating point."""
FLOAT32_BITS = 24
"""Widest codes that float32 holds."""
FLOAT32_FRAC = 100
"""Up to this |frac| codes of 24 bits are normal float32 numbers; beyond it they underflow, or become infinite."""

_ORDER = list(LIMITS)


def accumulator_dtype(bound: int) -> str:
    """The narrowest dtype in which integers up to `bound` are computed exactly.

    Raises:
        ExactnessError: not even int64 holds the bound.
    """
    for dtype, limit in LIMITS.items():
        if bound < limit:
            return dtype
    raise ExactnessError(
        f"an intermediate reaches {bound.bit_length()} bits, above the 63 of the widest accumulator; narrow the operands"
    )


def storage_dtype(magnitude: int) -> str | None:
    """The narrowest floating-point dtype that holds every integer up to `magnitude`; None if none does."""
    return next((dtype for dtype in FLOATS if magnitude <= LIMITS[dtype]), None)


def widest(dtypes: Iterable[str]) -> str:
    """The one that holds what any of `dtypes` holds."""
    return max(dtypes, key=_ORDER.index)
