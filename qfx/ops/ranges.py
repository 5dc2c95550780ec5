"""Exact ranges of sums of products, from the operand formats and the actual constants; and of values on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value


def dot_range(weight: IntArray, x: FixedType) -> tuple[list[int], list[int]]:
    """Per row of `weight` (rows, terms): the least and the greatest partial sum of `weight * code`, in any order."""
    positive = [int(row) for row in _sum(np.maximum(weight, 0))]
    negative = [int(row) for row in _sum(np.maximum(-weight, 0))]
    low = [p * x.min_int - n * x.max_int for p, n in zip(positive, negative, strict=True)]
    high = [p * x.max_int - n * x.min_int for p, n in zip(positive, negative, strict=True)]
    return low, high


def _sum(rows: IntArray) -> Sequence[int]:
    """Row sums that cannot overflow."""
    if rows.size and int(rows.max()).bit_length() + rows.shape[1].bit_length() > 62:
        return [sum(row) for row in rows.tolist()]
    return rows.sum(axis=1).tolist()


def sum_of_products_type(weight: IntArray, x: Value, scale: Value, offset: Value | None) -> FixedType:
    """Format of `weight @ x + offset` with `weight` the codes of `scale` as (rows, terms).

    It covers the offset plus every partial sum in any order, on the grid `max(fx + fw, foffset)`.
    """
    frac = output_frac(x, scale, offset)
    shift = frac - x.type.frac - scale.type.frac
    low, high = dot_range(weight, x.type)
    added = aligned_offsets(offset, frac, len(low))
    least = min((lo << shift) + min(0, b) for lo, b in zip(low, added, strict=True))
    most = max((hi << shift) + max(0, b) for hi, b in zip(high, added, strict=True))
    return FixedType.for_range(least, most, frac)


def sum_of_products_bound(weight: IntArray, x: Value, scale: Value, offset: Value | None) -> int:
    """Largest magnitude of an operand, a product or a partial sum of `weight @ x + offset`, on the result's grid."""
    frac = output_frac(x, scale, offset)
    shift = frac - x.type.frac - scale.type.frac
    total = [int(row) * x.type.max_abs for row in _sum(np.abs(weight))]
    added = aligned_offsets(offset, frac, len(total))
    largest = max((t << shift) + abs(b) for t, b in zip(total, added, strict=True))
    return max(largest, x.type.max_abs, max_abs(scale.codes))


def output_frac(x: Value, scale: Value, offset: Value | None) -> int:
    """The finest grid of products and offset."""
    products = x.type.frac + scale.type.frac
    return products if offset is None else max(products, offset.type.frac)


def aligned_offsets(offset: Value | None, frac: int, count: int) -> list[int]:
    """Offset codes on the grid `frac`, as Python integers (zeros if there is no offset)."""
    if offset is None:
        return [0] * count
    return [int(code) << (frac - offset.type.frac) for code in offset.codes]


def max_abs(codes: IntArray) -> int:
    """Largest magnitude; 0 for no codes."""
    return max(abs(int(codes.max())), abs(int(codes.min()))) if codes.size else 0


def common_grid(kind: str, a: Value, b: Value) -> tuple[int, tuple[tuple[int, int], tuple[int, int]]]:
    """The finer frac of two values of one shape, and the least and greatest code of each at it.

    Raises:
        GraphError: their shapes differ; names the op.
    """
    if a.shape != b.shape:
        raise GraphError(f"{kind}: shapes {a.shape} and {b.shape} differ; broadcasting is not supported")
    frac = max(a.type.frac, b.type.frac)
    up, b_up = frac - a.type.frac, frac - b.type.frac
    return frac, ((a.type.min_int << up, a.type.max_int << up), (b.type.min_int << b_up, b.type.max_int << b_up))
