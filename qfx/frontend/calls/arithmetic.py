"""Sums, differences, products, of tensors and of scalar constants; and the index of the greatest."""

from __future__ import annotations

from fractions import Fraction

from qfx import ops
from qfx.errors import LoweringError
from qfx.frontend.calls.call import Call
from qfx.frontend.scalars import exact, inverse, line
from qfx.frontend.scope import Scope
from qfx.ir import Value


def add(scope: Scope, a: object, other: object, *, alpha: float = 1) -> Value:
    _check_alpha(alpha)
    if isinstance(a, Value):
        return scope.add("", ops.Add(), a, other) if isinstance(other, Value) else line(scope, a, Fraction(1), exact(other))
    return add(scope, other, a)


def subtract(scope: Scope, a: object, other: object, *, alpha: float = 1) -> Value:
    _check_alpha(alpha)
    if isinstance(a, Value):
        return (
            scope.add("", ops.Add(minus=True), a, other) if isinstance(other, Value) else line(scope, a, Fraction(1), -exact(other))
        )
    return line(scope, _tensor(other), Fraction(-1), exact(a))


def subtract_from(scope: Scope, a: object, other: object, *, alpha: float = 1) -> Value:
    return subtract(scope, other, a, alpha=alpha)


def _check_alpha(alpha: float) -> None:
    if alpha != 1:
        raise LoweringError(f"alpha={alpha} is not supported; use a product, as in a + {alpha} * b")


def _tensor(operand: object) -> Value:
    if not isinstance(operand, Value):
        raise LoweringError(f"{operand!r} is neither a computed tensor nor a scalar constant; use one, or layers of qfx.nn")
    return operand


def negate(scope: Scope, x: Value) -> Value:
    return line(scope, x, Fraction(-1), Fraction(0))


def multiply(scope: Scope, a: object, other: object) -> Value:
    """The op has the factor per channel on the right."""
    if not isinstance(a, Value):
        return line(scope, _tensor(other), exact(a), Fraction(0))
    if not isinstance(other, Value):
        return line(scope, a, exact(other), Fraction(0))
    per_channel = a.shape != other.shape and all(size == 1 for size in a.shape[1:])
    return scope.add("", ops.Multiply(), *((other, a) if per_channel else (a, other)))


def divide(scope: Scope, a: object, other: object, *, rounding_mode: str | None = None) -> Value:
    if isinstance(other, Value):
        raise LoweringError("a computed divisor has no exact form; use qfx.nn.Lookup for 1 / x, and multiply")
    if rounding_mode is not None:
        raise LoweringError(f"rounding_mode={rounding_mode!r} is not supported; use qfx.nn.Quantize behind the division")
    return line(scope, _tensor(a), inverse(other), Fraction(0))


def minimum(scope: Scope, a: Value, other: Value) -> Value:
    return scope.add("", ops.Minimum(), a, other)


def argmax(scope: Scope, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    """The graph's value is (1,), with or without `keepdim`."""
    if len(x.shape) != 1 or dim is None or dim % 2 == 0:
        raise LoweringError(f"argmax over axis {dim} of {list(x.shape)} is not supported; flatten to features and take dim=1")
    return scope.add("", ops.ArgMax(), x)


CALLS = (
    Call(("add",), ("add",), lower=add, handled=True, layer="Add"),
    Call(("sub", "subtract"), ("sub",), lower=subtract, handled=True),
    Call(("rsub",), lower=subtract_from, handled=True),
    Call(("neg", "negative"), ("neg",), lower=negate, handled=True),
    Call(("mul", "multiply"), ("mul",), lower=multiply, handled=True),
    Call(("div", "divide", "true_divide"), ("truediv",), lower=divide, handled=True),
    Call(("argmax",), lower=argmax),
    Call(("minimum",), lower=minimum, example="torch.minimum(x, F.relu6(x) * 0.5)"),
)
