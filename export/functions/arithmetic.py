"""Element by element: sums, products, limits; and the index of the greatest."""

from __future__ import annotations

from qfx import ops
from qfx.errors import LoweringError
from qfx.ir import Value
from qfx.nn.clamp import clamp_op
from qfx.nn.scope import Scope


def add(scope: Scope, a: object, other: object, *, alpha: float = 1) -> Value:
    if not isinstance(a, Value) or not isinstance(other, Value) or alpha != 1:
        raise LoweringError("only two computed tensors can be added; use qfx.nn.BatchNorm2d or a bias to add constants")
    return scope.add("", ops.Add(), a, other)


def multiply(scope: Scope, a: object, other: object) -> Value:
    """The op has the factor per channel on the right."""
    if not isinstance(a, Value) or not isinstance(other, Value):
        raise LoweringError("only two computed tensors can be multiplied; use qfx.nn.BatchNorm2d to scale by constants")
    per_channel = a.shape != other.shape and all(size == 1 for size in a.shape[1:])
    return scope.add("", ops.Multiply(), *((other, a) if per_channel else (a, other)))


def relu(scope: Scope, x: Value, inplace: bool = False) -> Value:
    return scope.add("", ops.ReLU(), x)


def clamp(scope: Scope, x: Value, min: float | None = None, max: float | None = None) -> Value:
    return scope.add("", clamp_op(min, max), x)


def clamp_min(scope: Scope, x: Value, min: float) -> Value:
    return clamp(scope, x, min)


def clamp_max(scope: Scope, x: Value, max: float) -> Value:
    return clamp(scope, x, None, max)


def hardtanh(scope: Scope, x: Value, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Value:
    return clamp(scope, x, min_val, max_val)


def relu6(scope: Scope, x: Value, inplace: bool = False) -> Value:
    return clamp(scope, x, 0, 6)


def same(scope: Scope, x: Value, *args: object, **kwargs: object) -> Value:
    return x


def dropout(scope: Scope, x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    if training:
        raise LoweringError("dropout with training=True drops values in eval, too; pass training=self.training")
    return x


def argmax(scope: Scope, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    """The graph's value is (1,), with or without `keepdim`."""
    if len(x.shape) != 1 or dim is None or dim % 2 == 0:
        raise LoweringError(f"argmax over axis {dim} of {list(x.shape)} is not supported; flatten to features and take dim=1")
    return scope.add("", ops.ArgMax(), x)
