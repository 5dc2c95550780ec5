"""Exact comparison of two arrays of codes, whatever their dtypes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qfx.errors import GraphError
from qfx.fixed import BoolArray, IntArray

Codes = npt.NDArray[np.generic]
"""Codes of one value, (batch, *shape): integers, or floats that should be integers."""


def differs(first: Codes, second: Codes) -> BoolArray:
    """Where two arrays of codes are not exactly equal; a fraction, an infinity or a NaN differs from everything.

    Raises:
        GraphError: the shapes differ.
    """
    if first.shape != second.shape:
        raise GraphError(f"arrays of shapes {first.shape} and {second.shape} cannot be compared")
    (one, one_ok), (other, other_ok) = _integers(first), _integers(second)
    return (one != other) | ~one_ok | ~other_ok


def _integers(codes: Codes) -> tuple[IntArray, BoolArray]:
    """The codes as int64, and where that is what they are."""
    if not np.issubdtype(codes.dtype, np.floating):
        whole = codes.astype(np.int64, copy=False)
        return whole, np.equal(whole, codes) if codes.dtype == np.uint64 else np.ones((), np.bool_)
    real = codes.astype(np.float64, copy=False)
    with np.errstate(invalid="ignore"):
        whole = real.astype(np.int64)
    valid = (whole == real) & (np.abs(real) < 2.0**63)  # what is no integer, or none of 64 bits, has become another number
    return whole, valid
