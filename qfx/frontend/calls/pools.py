"""Pools in one and two dimensions, and means over pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from qfx.errors import LoweringError
from qfx.frontend.calls.call import Call, same
from qfx.frontend.pooling import adaptive_avg_pool_op, adaptive_kernel, avg_pool_op, check_exact, max_pool_op, pair, single
from qfx.frontend.scope import IMAGE, RESULT, Scope
from qfx.ir import Value
from qfx.ops.base import Op, Pair

Size = int | tuple[int, ...]


def image_of(x: Value) -> Pair:
    """Height and width; a length has height 1."""
    return (1, x.shape[1]) if len(x.shape) == 2 else (x.shape[-2], x.shape[-1])


def _whole(axes: int, label: str, value: Size, beside: int) -> Pair:
    """A size, step or padding for an image; in one dimension it is that of the length, and the vertical one `beside`."""
    return pair(label, value) if axes == 2 else (beside, single(label, value))


def _add(scope: Scope, axes: int, op: Op, x: Value) -> Value:
    return scope.add("", op, x) if axes == 2 else scope.add_on_image(op, x)


def max_pool(
    axes: int,
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
        raise LoweringError(f"max_pool{axes}d with return_indices has no fixed-point form; leave it out")
    kernel = _whole(axes, "kernel_size", kernel_size, 1)
    step = _whole(axes, "stride", stride, 1) if stride else kernel
    padded, dilated = _whole(axes, "padding", padding, 0), _whole(axes, "dilation", dilation, 1)
    return _add(scope, axes, max_pool_op(image_of(x), kernel, step, padded, dilated, ceil_mode), x)


def avg_pool(
    axes: int,
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
        raise LoweringError(f"avg_pool{axes}d with divisor_override has no fixed-point form; leave it out")
    kernel = _whole(axes, "kernel_size", kernel_size, 1)
    step = _whole(axes, "stride", stride, 1) if stride else kernel
    op = avg_pool_op(image_of(x), kernel, step, _whole(axes, "padding", padding, 0), ceil_mode, count_include_pad)
    return _add(scope, axes, check_exact(op, f"AvgPool{axes}d"), x)


def adaptive_avg_pool(axes: int, scope: Scope, x: Value, output_size: Any) -> Value:
    op = adaptive_avg_pool_op(_adaptive_kernel(axes, x, output_size))
    return _add(scope, axes, check_exact(op, f"AdaptiveAvgPool{axes}d"), x)


def adaptive_max_pool(axes: int, scope: Scope, x: Value, output_size: Any, return_indices: bool = False) -> Value:
    kernel = _adaptive_kernel(axes, x, output_size)
    return max_pool(axes, scope, x, kernel[2 - axes :], return_indices=return_indices)


def _adaptive_kernel(axes: int, x: Value, output_size: Any) -> Pair:
    return adaptive_kernel(image_of(x), output_size if axes == 2 else (None, single("output_size", output_size)))


def mean(scope: Scope, x: Value, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Value:
    """Over height, width or both of an image, or over a length."""
    axes = {axis % (len(x.shape) + 1) for axis in ([dim] if isinstance(dim, int) else dim or (0,))}
    if min(axes) < 2:
        raise LoweringError(
            f"the mean over axes {dim} mixes samples or channels; only pixels can be averaged, as in x.mean((2, 3))"
        )
    over = [n if axis in axes else 1 for axis, n in zip((2, 3) if len(x.shape) == 3 else (3, 2), image_of(x), strict=True)]
    op = check_exact(adaptive_avg_pool_op((over[0], over[1])), "AdaptiveAvgPool2d")
    kept = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape, 1) if keepdim or axis not in axes)
    if len(x.shape) == 3 and keepdim:
        return scope.add("", op, x)
    image = x if len(x.shape) == 3 else scope.reshape((x.channels, 1, x.shape[1]), x, IMAGE)
    return scope.reshape(kept, scope.add(RESULT, op, image))


_MAX = same("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVG = same("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
_SIZE = same("output_size")

CALLS = (
    Call(("max_pool2d",), modules={nn.MaxPool2d: _MAX}, lower=partial(max_pool, 2), layer="MaxPool2d"),
    Call(("max_pool1d",), modules={nn.MaxPool1d: _MAX}, lower=partial(max_pool, 1), layer="MaxPool1d"),
    Call(
        ("avg_pool2d",),
        modules={nn.AvgPool2d: {**_AVG, **same("divisor_override")}},
        lower=partial(avg_pool, 2),
        handled=True,
        layer="AvgPool2d",
    ),
    Call(("avg_pool1d",), modules={nn.AvgPool1d: _AVG}, lower=partial(avg_pool, 1), handled=True, layer="AvgPool1d"),
    Call(
        ("adaptive_avg_pool2d",),
        modules={nn.AdaptiveAvgPool2d: _SIZE},
        lower=partial(adaptive_avg_pool, 2),
        handled=True,
        layer="AdaptiveAvgPool2d",
    ),
    Call(
        ("adaptive_avg_pool1d",),
        modules={nn.AdaptiveAvgPool1d: _SIZE},
        lower=partial(adaptive_avg_pool, 1),
        handled=True,
        layer="AdaptiveAvgPool1d",
    ),
    Call(
        ("adaptive_max_pool2d",),
        modules={nn.AdaptiveMaxPool2d: same("output_size", "return_indices")},
        lower=partial(adaptive_max_pool, 2),
    ),
    Call(
        ("adaptive_max_pool1d",),
        modules={nn.AdaptiveMaxPool1d: same("output_size", "return_indices")},
        lower=partial(adaptive_max_pool, 1),
        without=(torch.adaptive_max_pool1d,),
    ),
    Call(
        tuple(f"{pool}_with_indices" for pool in ("max_pool2d", "max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool1d")),
        instead="leave return_indices out",
        others=(torch.adaptive_max_pool1d,),  # it always returns them
    ),
    Call(("mean",), lower=mean, handled=True, layer="AdaptiveAvgPool2d"),
)
