"""What sums, differences and products become, of tensors and scalar constants. A handler has the signature of the torch function,
after the walk.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qfx.nn as qnn
from qfx.conversion.tracked import Kind, Tracked
from qfx.conversion.walk import Handler, Unconvertible, Walk


def add(walk: Walk, a: Any, other: Any, *, alpha: float = 1) -> Tracked:
    if not (isinstance(a, Tracked) and isinstance(other, Tracked)) or alpha != 1:
        return _with_number(walk, a, other)
    if a.shape != other.shape:
        raise Unconvertible(f"shapes {list(a.shape[1:])} and {list(other.shape[1:])} differ; broadcasting is not supported")
    path = walk.name("add")
    formats = walk.formats(path, "Add")
    a, b = walk.operand(a), walk.operand(other)
    branches = [None if value.kind is Kind.CAST else formats.branch() for value in (a, b)]
    return walk.place(path, qnn.Add(*branches), a, b, kind=Kind.SUM, signed=a.signed or b.signed)


def subtract(walk: Walk, a: Any, other: Any, *, alpha: float = 1) -> Tracked:
    if not (isinstance(a, Tracked) and isinstance(other, Tracked)) or alpha != 1:
        return _with_number(walk, a, other, minus=True)
    return _rewritten(walk, operator.sub, [walk.narrow(walk.operand(value), Kind.CAST) for value in (a, other)], Kind.SUM, True)


def subtract_from(walk: Walk, a: Any, other: Any, *, alpha: float = 1) -> Tracked:
    return subtract(walk, other, a, alpha=alpha)


def multiply(walk: Walk, a: Any, other: Any) -> Tracked:
    if isinstance(a, Tracked) and isinstance(other, Tracked):
        return _rewritten(walk, operator.mul, [walk.cast(a), walk.cast(other)], Kind.PRODUCT, a.signed or other.signed)
    return _scaled(walk, a, other)


def divide(walk: Walk, a: Any, other: Any, *, rounding_mode: str | None = None) -> Tracked:
    """What is no number below the line, or is rounded, is refused where the call is tried."""
    return _scaled(walk, a, other)


def _with_number(walk: Walk, a: Any, other: Any, minus: bool = False) -> Tracked:
    """A number added to a tensor, or one subtracted from the other."""
    x, number = (a, other) if isinstance(a, Tracked) else (other, a)
    positive = isinstance(number, int | float) and number >= 0 and not minus
    return walk.keep(max(x.kind, Kind.SUM), signed=x.signed or not positive)


def _scaled(walk: Walk, a: Any, other: Any) -> Tracked:
    """A tensor times a number, or divided by one: it grows, unless a power of two only moves the binary point."""
    x, number = (a, other) if isinstance(a, Tracked) else (other, a)
    positive = isinstance(number, int | float) and number > 0
    moved = positive and math.frexp(number)[0] == 0.5
    grown = Kind.SUM if x.kind is Kind.CAST else min(Kind.AFFINE, Kind(x.kind + 1))
    return walk.keep(x.kind if moved else grown, signed=x.signed or not positive)


def negate(walk: Walk, x: Tracked) -> Tracked:
    return walk.keep(signed=True)


def _rewritten(walk: Walk, function: Callable[..., Any], operands: Sequence[Tracked], kind: Kind, signed: bool) -> Tracked:
    """The same call on operands that were cast; what was done in place makes a new tensor."""
    return walk.value(walk.graph.call_function(function, tuple(value.node for value in operands)), kind, signed)


def concat(walk: Walk, tensors: Sequence[Tracked], dim: int = 0) -> Tracked:
    kinds = [value.kind for value in tensors]
    return walk.keep(max(Kind.SUM, *kinds))


HANDLERS: Mapping[str, Handler] = {
    "add": add,
    "sub": subtract,
    "rsub": subtract_from,
    "mul": multiply,
    "div": divide,
    "neg": negate,
    "cat": concat,
}
"""By the canonical name of the call."""
