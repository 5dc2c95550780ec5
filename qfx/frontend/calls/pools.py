"""Pools in one and two dimensions, and means over pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from qfx import ops
from qfx.errors import LoweringError
from qfx.frontend.calls.call import Call, same
from qfx.frontend.scope import IMAGE, RESULT, Scope
from qfx.frontend.windows import adaptive_kernel, avg_pool_op, divides, max_pool_op, pair, single
from qfx.ir import Value
from qfx.ops.base import Pair

Size = int | tuple[int, ...]


def image_of(x: Value) -> Pair:
    """Height and width; a length has height 1."""
    return (1, x.shape[1]) if len(x.shape) == 2 else (x.shape[-2], x.shape[-1])


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
    if return_indices:
        raise LoweringError("max_pool2d with return_indices has no fixed-point form; leave it out")
    kernel = pair("kernel_size", kernel_size)
    step = pair("stride", stride) if stride else kernel
    op = max_pool_op(image_of(x), kernel, step, pair("padding", padding), pair("dilation", dilation), ceil_mode)
    return scope.add("", op, x)


def max_pool1d(
    scope: Scope,
    x: Value,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    if return_indices:
        raise LoweringError("max_pool1d with return_indices has no fixed-point form; leave it out")
    kernel = single("kernel_size", kernel_size)
    step = single("stride", stride) if stride else kernel
    padded, dilated = (0, single("padding", padding)), (1, single("dilation", dilation))
    return scope.add_on_image(max_pool_op(image_of(x), (1, kernel), (1, step), padded, dilated, ceil_mode), x)


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
    if divisor_override is not None:
        raise LoweringError("avg_pool2d with divisor_override has no fixed-point form; leave it out")
    kernel = pair("kernel_size", kernel_size)
    step = pair("stride", stride) if stride else kernel
    op = avg_pool_op(image_of(x), kernel, step, pair("padding", padding), ceil_mode, count_include_pad)
    return scope.add("", _exact(op, "AvgPool2d"), x)


def avg_pool1d(
    scope: Scope,
    x: Value,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:
    kernel = single("kernel_size", kernel_size)
    step = single("stride", stride) if stride else kernel
    op = avg_pool_op(image_of(x), (1, kernel), (1, step), (0, single("padding", padding)), ceil_mode, count_include_pad)
    return scope.add_on_image(_exact(op, "AvgPool1d"), x)


def _exact(op: ops.AvgPool2d, layer: str) -> ops.AvgPool2d:
    if not op.uniform:
        raise LoweringError(
            f"windows that overlap the padding have other areas than {op.area}, a division that is not exact; use qfx.nn.{layer}"
        )
    if not divides(op):
        raise LoweringError(f"dividing by {op.area} is not exact; use qfx.nn.{layer}")
    return op


def adaptive_avg_pool2d(scope: Scope, x: Value, output_size: int | tuple[int | None, ...]) -> Value:
    kernel = adaptive_kernel(image_of(x), output_size)
    return scope.add("", _exact(ops.AvgPool2d(kernel, kernel), "AdaptiveAvgPool2d"), x)


def adaptive_avg_pool1d(scope: Scope, x: Value, output_size: Size) -> Value:
    kernel = adaptive_kernel(image_of(x), (None, single("output_size", output_size)))
    return scope.add_on_image(_exact(ops.AvgPool2d(kernel, kernel), "AdaptiveAvgPool1d"), x)


def adaptive_max_pool2d(scope: Scope, x: Value, output_size: int | tuple[int | None, ...], return_indices: bool = False) -> Value:
    kernel = adaptive_kernel(image_of(x), output_size)
    return max_pool2d(scope, x, kernel, return_indices=return_indices)


def adaptive_max_pool1d(scope: Scope, x: Value, output_size: Size, return_indices: bool = False) -> Value:
    kernel = adaptive_kernel(image_of(x), (None, single("output_size", output_size)))
    return max_pool1d(scope, x, (kernel[1],), return_indices=return_indices)


def mean(scope: Scope, x: Value, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Value:
    """Over height, width or both of an image, or over a length."""
    axes = {axis % (len(x.shape) + 1) for axis in ([dim] if isinstance(dim, int) else dim or (0,))}
    if min(axes) < 2:
        raise LoweringError(
            f"the mean over axes {dim} mixes samples or channels; only pixels can be averaged, as in x.mean((2, 3))"
        )
    over = [n if axis in axes else 1 for axis, n in zip((2, 3) if len(x.shape) == 3 else (3, 2), image_of(x), strict=True)]
    op = _exact(ops.AvgPool2d((over[0], over[1]), (over[0], over[1])), "AdaptiveAvgPool2d")
    kept = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape, 1) if keepdim or axis not in axes)
    if len(x.shape) == 3 and keepdim:
        return scope.add("", op, x)
    image = x if len(x.shape) == 3 else scope.add(IMAGE, ops.Reshape((x.channels, 1, x.shape[1])), x)
    return scope.add("", ops.Reshape(kept), scope.add(RESULT, op, image))


_MAX = same("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVG = same("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
_SIZE = same("output_size")

CALLS = (
    Call(("max_pool2d",), modules={nn.MaxPool2d: _MAX}, lower=max_pool2d, layer="MaxPool2d"),
    Call(("max_pool1d",), modules={nn.MaxPool1d: _MAX}, lower=max_pool1d, layer="MaxPool1d"),
    Call(
        ("avg_pool2d",),
        modules={nn.AvgPool2d: {**_AVG, **same("divisor_override")}},
        lower=avg_pool2d,
        handled=True,
        layer="AvgPool2d",
    ),
    Call(("avg_pool1d",), modules={nn.AvgPool1d: _AVG}, lower=avg_pool1d, handled=True, layer="AvgPool1d"),
    Call(
        ("adaptive_avg_pool2d",),
        modules={nn.AdaptiveAvgPool2d: _SIZE},
        lower=adaptive_avg_pool2d,
        handled=True,
        layer="AdaptiveAvgPool2d",
    ),
    Call(
        ("adaptive_avg_pool1d",),
        modules={nn.AdaptiveAvgPool1d: _SIZE},
        lower=adaptive_avg_pool1d,
        handled=True,
        layer="AdaptiveAvgPool1d",
    ),
    Call(
        ("adaptive_max_pool2d",),
        modules={nn.AdaptiveMaxPool2d: same("output_size", "return_indices")},
        lower=adaptive_max_pool2d,
    ),
    Call(
        ("adaptive_max_pool1d",),
        modules={nn.AdaptiveMaxPool1d: same("output_size", "return_indices")},
        lower=adaptive_max_pool1d,
        without=(torch.adaptive_max_pool1d,),
    ),
    Call(
        tuple(f"{pool}_with_indices" for pool in ("max_pool2d", "max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool1d")),
        instead="leave return_indices out",
        others=(torch.adaptive_max_pool1d,),  # it always returns them
    ),
    Call(("mean",), lower=mean, handled=True, layer="AdaptiveAvgPool2d"),
)
