"""What functions and methods become. A handler has the signature of the torch function, after the walk.

Functions that are exact on integers, and need no cast of their own, are not listed here: they stay as they are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import qfx.nn as qnn
from qfx.conversion import modules
from qfx.conversion.values import Kind, Value
from qfx.conversion.walk import Handler, Unconvertible, Walk


def add(walk: Walk, a: Any, other: Any, *, alpha: float = 1) -> Value:
    if not (isinstance(a, Value) and isinstance(other, Value)) or alpha != 1:
        return _with_number(walk, a, other)
    if a.shape != other.shape:
        raise Unconvertible(f"shapes {list(a.shape[1:])} and {list(other.shape[1:])} differ; broadcasting is not supported")
    path = walk.name("add")
    formats = walk.formats(path, "Add")
    a, b = walk.operand(a), walk.operand(other)
    branches = [None if value.kind is Kind.CAST else formats.branch() for value in (a, b)]
    return walk.place(path, qnn.Add(*branches), a, b, kind=Kind.SUM, signed=a.signed or b.signed)


def subtract(walk: Walk, a: Any, other: Any, *, alpha: float = 1) -> Value:
    if not (isinstance(a, Value) and isinstance(other, Value)) or alpha != 1:
        return _with_number(walk, a, other, minus=True)
    return _rewritten(walk, operator.sub, [walk.narrow(walk.operand(value), Kind.CAST) for value in (a, other)], Kind.SUM, True)


def multiply(walk: Walk, a: Any, other: Any) -> Value:
    if isinstance(a, Value) and isinstance(other, Value):
        return _rewritten(walk, operator.mul, [walk.cast(a), walk.cast(other)], Kind.PRODUCT, a.signed or other.signed)
    return _scaled(walk, a, other)


def divide(walk: Walk, a: Any, other: Any, *, rounding_mode: str | None = None) -> Value:
    """What is no number below the line, or is rounded, is refused where the call is tried."""
    return _scaled(walk, a, other)


def _with_number(walk: Walk, a: Any, other: Any, minus: bool = False) -> Value:
    """A number added to a tensor, or one subtracted from the other."""
    x, number = (a, other) if isinstance(a, Value) else (other, a)
    positive = isinstance(number, int | float) and number >= 0 and not minus
    return walk.keep(max(x.kind, Kind.SUM), signed=x.signed or not positive)


def _scaled(walk: Walk, a: Any, other: Any) -> Value:
    """A tensor times a number, or divided by one: it grows, unless a power of two only moves the binary point."""
    x, number = (a, other) if isinstance(a, Value) else (other, a)
    positive = isinstance(number, int | float) and number > 0
    moved = positive and math.frexp(number)[0] == 0.5
    grown = Kind.SUM if x.kind is Kind.CAST else min(Kind.AFFINE, Kind(x.kind + 1))
    return walk.keep(x.kind if moved else grown, signed=x.signed or not positive)


def negate(walk: Walk, x: Value) -> Value:
    return walk.keep(signed=True)


def _rewritten(walk: Walk, function: Callable[..., Any], operands: Sequence[Value], kind: Kind, signed: bool) -> Value:
    """The same call on operands that were cast; what was done in place makes a new tensor."""
    return walk.value(walk.graph.call_function(function, tuple(value.node for value in operands)), kind, signed)


def relu(walk: Walk, x: Value, inplace: bool = False) -> Value:
    return modules.relu(walk, None, x)


def relu6(walk: Walk, x: Value, inplace: bool = False) -> Value:
    return modules.clamp(walk, 0, 6, x)


def hardtanh(walk: Walk, x: Value, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Value:
    return modules.clamp(walk, min_val, max_val, x)


def clamp(walk: Walk, x: Value, min: float | None = None, max: float | None = None) -> Value:
    if min == 0 and max is None:
        return modules.relu(walk, None, x)
    low, high = (float("-inf") if min is None else min), (float("inf") if max is None else max)
    return modules.clamp(walk, low, high, x)


def clamp_min(walk: Walk, x: Value, min: float) -> Value:
    return clamp(walk, x, min)


def clamp_max(walk: Walk, x: Value, max: float) -> Value:
    return clamp(walk, x, None, max)


def leaky_relu(walk: Walk, x: Value, negative_slope: float = 0.01, inplace: bool = False) -> Value:
    return modules.leaky_relu(walk, x, negative_slope)


def concat(walk: Walk, tensors: Sequence[Value], dim: int = 0) -> Value:
    kinds = [value.kind for value in tensors]
    return walk.keep(max(Kind.SUM, *kinds))


def dropout(walk: Walk, x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    """As a module, so that it is there in training; the trace is that of eval."""
    if training:
        raise Unconvertible("dropout with training=True drops values in eval, too; pass training=self.training")
    return walk.place(walk.name("dropout"), nn.Dropout(p), x, kind=x.kind, signed=x.signed)


def avg_pool2d(
    walk: Walk,
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    return modules.avg_pool(walk, qnn.AvgPool2d, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool1d(
    walk: Walk,
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:
    return modules.avg_pool(walk, qnn.AvgPool1d, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def adaptive_avg_pool(walk: Walk, x: Value, output_size: Any) -> Value:
    return modules.adaptive_avg_pool(walk, output_size, x)


def mean(walk: Walk, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    """Over pixels: an adaptive pool, whose axes of one pixel go unless `keepdim`."""
    axes = sorted({axis % len(x.shape) for axis in ([dim] if isinstance(dim, int) else dim or (0,))})
    if axes[0] < 2:
        raise Unconvertible(f"a mean over axes {dim} mixes samples or channels; only pixels can be averaged, as in x.mean((2, 3))")
    size = tuple(1 if axis in axes else None for axis in range(2, len(x.shape)))
    pooled = modules.adaptive_avg_pool(walk, size, x, name=walk.name("mean"))
    if keepdim:
        return pooled
    node = pooled.node
    for axis in reversed(axes):
        node = walk.graph.call_function(torch.squeeze, (node, axis))
    return walk.value(node, pooled.kind, pooled.signed)


def _table(function: Callable[..., Tensor], positive: bool = False) -> Handler:
    """A scalar function; its other arguments are constants of the table."""

    def handler(walk: Walk, x: Value, *args: Any, inplace: bool = False, **kwargs: Any) -> Value:
        return modules.lookup(walk, x, modules.Applied(function, args, kwargs), positive)

    return handler


_SCALAR: Mapping[str, tuple[tuple[object, ...], Handler]] = {
    "sigmoid": ((torch.sigmoid, functional.sigmoid), _table(torch.sigmoid, positive=True)),
    "tanh": ((torch.tanh, functional.tanh), _table(torch.tanh)),
    "exp": ((torch.exp,), _table(torch.exp, positive=True)),
    "abs": ((torch.abs, operator.abs), _table(torch.abs, positive=True)),
    "square": ((torch.square,), _table(torch.square, positive=True)),
    "sin": ((torch.sin,), _table(torch.sin)),
    "cos": ((torch.cos,), _table(torch.cos)),
    "erf": ((torch.erf,), _table(torch.erf)),
}
"""By the name of the method."""


_op: Any = operator  # its functions are overloads that no table can hold


def _each(handler: Handler, *targets: object) -> dict[object, Handler]:
    return dict.fromkeys(targets, handler)


FUNCTIONS: Mapping[object, Handler] = {
    **_each(add, _op.add, _op.iadd, torch.add),
    **_each(subtract, _op.sub, _op.isub, torch.sub, torch.subtract),
    **_each(multiply, _op.mul, _op.imul, torch.mul, torch.multiply),
    **_each(divide, _op.truediv, _op.itruediv, torch.div, torch.divide, torch.true_divide),
    **_each(negate, _op.neg, torch.neg, torch.negative),
    **_each(relu, torch.relu, torch.relu_, functional.relu, functional.relu_),
    functional.relu6: relu6,
    **_each(hardtanh, functional.hardtanh, functional.hardtanh_),
    **_each(clamp, torch.clamp, torch.clip, torch.clamp_),
    torch.clamp_min: clamp_min,
    torch.clamp_max: clamp_max,
    **_each(leaky_relu, functional.leaky_relu, functional.leaky_relu_),
    **_each(concat, torch.cat, torch.concat, torch.concatenate),
    **_each(dropout, functional.dropout, functional.dropout2d),
    functional.avg_pool2d: avg_pool2d,
    functional.avg_pool1d: avg_pool1d,
    **_each(adaptive_avg_pool, functional.adaptive_avg_pool2d, functional.adaptive_avg_pool1d),
    torch.mean: mean,
    functional.hardsigmoid: _table(functional.hardsigmoid, positive=True),
    functional.silu: _table(functional.silu),
    functional.hardswish: _table(functional.hardswish),
    functional.gelu: _table(functional.gelu),
    functional.elu: _table(functional.elu),
    functional.selu: _table(functional.selu),
    functional.celu: _table(functional.celu),
    functional.mish: _table(functional.mish),
    functional.softplus: _table(functional.softplus, positive=True),
    functional.softsign: _table(functional.softsign),
    functional.logsigmoid: _table(functional.logsigmoid),
    **{target: handler for targets, handler in _SCALAR.values() for target in targets},
}
"""By the function object."""

METHODS: Mapping[str, Handler] = {
    **dict.fromkeys(("add", "add_"), add),
    **dict.fromkeys(("sub", "sub_", "subtract", "subtract_"), subtract),
    **dict.fromkeys(("mul", "mul_", "multiply", "multiply_"), multiply),
    **dict.fromkeys(("div", "div_", "divide", "divide_", "true_divide", "true_divide_"), divide),
    **dict.fromkeys(("neg", "neg_", "negative", "negative_"), negate),
    **dict.fromkeys(("relu", "relu_"), relu),
    **dict.fromkeys(("clamp", "clamp_", "clip"), clamp),
    "clamp_min": clamp_min,
    "clamp_max": clamp_max,
    "mean": mean,
    **{name: handler for name, (_, handler) in _SCALAR.items()},
    **{f"{name}_": handler for name, (_, handler) in _SCALAR.items()},
}
"""By the name of the tensor method."""
