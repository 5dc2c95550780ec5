"""Plain torch functions and modules that are exact on fixed-point values, and what they lower to.

A handler has the signature of the torch function it stands for, after the scope. Anything it cannot do exactly is a
`LoweringError` whose text completes "<call> at <line>: ...".
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from qfx import ops
from qfx.errors import LoweringError
from qfx.ir import Value
from qfx.nn.avg_pool2d import is_power_of_two
from qfx.nn.layer import pair
from qfx.nn.scope import Scope

Size = int | tuple[int, ...]


class Batch:
    """Stands for the batch size where a model asks for it."""

    def __repr__(self) -> str:
        return "batch"


BATCH = Batch()


def add(scope: Scope, a: object, b: object, *, alpha: float = 1) -> Value:
    if not isinstance(a, Value) or not isinstance(b, Value) or alpha != 1:
        raise LoweringError("only two computed tensors can be added; use qfx.nn.BatchNorm2d or a bias to add constants")
    return scope.add("", ops.Add(), a, b)


def relu(scope: Scope, x: Value, inplace: bool = False) -> Value:
    return scope.add("", ops.ReLU(), x)


def same(scope: Scope, x: Value, *args: object, **kwargs: object) -> Value:
    return x


def dropout(scope: Scope, x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    if training:
        raise LoweringError("dropout with training=True drops values in eval, too; pass training=self.training")
    return x


def max_pool2d(
    scope: Scope,
    x: Value,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    if pair("dilation", dilation) != (1, 1) or ceil_mode or return_indices:
        raise LoweringError("max_pool2d with dilation, ceil_mode or return_indices has no fixed-point form; leave them out")
    kernel = pair("kernel_size", kernel_size)
    return scope.add("", ops.MaxPool2d(kernel, pair("stride", stride) if stride else kernel, pair("padding", padding)), x)


def avg_pool2d(
    scope: Scope,
    x: Value,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    kernel = pair("kernel_size", kernel_size)
    if ceil_mode or divisor_override is not None or (not count_include_pad and pair("padding", padding) != (0, 0)):
        raise LoweringError("avg_pool2d with ceil_mode, divisor_override or count_include_pad=False has no fixed-point form")
    if not is_power_of_two(kernel[0] * kernel[1]):
        raise LoweringError(f"dividing by {kernel[0] * kernel[1]} is not exact; use qfx.nn.AvgPool2d or qfx.nn.AdaptiveAvgPool2d")
    return scope.add("", ops.AvgPool2d(kernel, pair("stride", stride) if stride else kernel, pair("padding", padding)), x)


def adaptive_avg_pool2d(scope: Scope, x: Value, output_size: Size) -> Value:
    if pair("output_size", output_size) != (1, 1):
        raise LoweringError(f"adaptive_avg_pool2d to {output_size} is not supported, only to 1; use qfx.nn.AvgPool2d")
    return avg_pool2d(scope, x, (x.shape[1], x.shape[2]))


def flatten(scope: Scope, x: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    dims = len(x.shape) + 1
    start, end = start_dim % dims, end_dim % dims
    if start == 0:
        raise LoweringError("flatten from axis 0 mixes the samples of a batch; use start_dim=1")
    shape = (*x.shape[: start - 1], math.prod(x.shape[start - 1 : end]), *x.shape[end:])
    return scope.add("", ops.Reshape(shape), x)


def reshape(scope: Scope, x: Value, *sizes: Any, shape: Sequence[Any] = ()) -> Value:
    wanted: list[Any] = [*(sizes[0] if sizes and isinstance(sizes[0], list | tuple) else sizes or shape)]
    rest = wanted[1:]
    if not wanted or not all(isinstance(size, int) for size in rest):
        raise LoweringError(f"a shape of {wanted} is not constant; give numbers after the batch axis")
    if wanted[0] == -1 and rest.count(-1) == 0:
        wanted[0] = BATCH
    if rest.count(-1) == 1 and math.prod(rest) != 0:
        rest[rest.index(-1)] = x.size // abs(math.prod(rest))
    if wanted[0] is not BATCH or math.prod(rest) != x.size:
        raise LoweringError(f"a shape of {wanted} does not keep the batch axis of {list(x.shape)}; start with x.size(0) or -1")
    return scope.add("", ops.Reshape(tuple(rest)), x)


Handler = Callable[..., Value]

FUNCTIONS: Mapping[object, Handler] = {
    operator.add: add,
    operator.iadd: add,
    torch.add: add,
    torch.flatten: flatten,
    torch.reshape: reshape,
    torch.relu: relu,
    torch.relu_: relu,
    functional.relu: relu,
    functional.max_pool2d: max_pool2d,
    torch.max_pool2d: max_pool2d,
    functional.avg_pool2d: avg_pool2d,
    functional.adaptive_avg_pool2d: adaptive_avg_pool2d,
    functional.dropout: dropout,
}
"""By the function object."""

METHODS: Mapping[str, Handler] = {
    "add": add,
    "add_": add,
    "flatten": flatten,
    "view": reshape,
    "reshape": reshape,
    "relu": relu,
    "relu_": relu,
    "contiguous": same,
}
"""By the name of the tensor method."""

SIZES: Mapping[object, Callable[..., Any]] = {operator.getitem: operator.getitem, operator.mul: operator.mul}
"""Arithmetic on sizes, which happens while lowering."""


def lower_module(scope: Scope, module: nn.Module, x: Value) -> Value | None:
    """A plain torch module; None for one that is not exact."""
    match module:
        case nn.Identity() | nn.Dropout() | nn.Dropout1d() | nn.Dropout2d():
            return x
        case nn.Flatten():
            return flatten(scope, x, module.start_dim, module.end_dim)
        case nn.ReLU():
            return relu(scope, x)
        case nn.MaxPool2d():
            attributes = (module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)
            return max_pool2d(scope, x, *attributes, module.return_indices)
        case nn.AvgPool2d():
            attributes = (module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad)
            return avg_pool2d(scope, x, *attributes, module.divisor_override)
        case nn.AdaptiveAvgPool2d():
            size: Any = module.output_size
            return adaptive_avg_pool2d(scope, x, size)
        case _:
            return None
