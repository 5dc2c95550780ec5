"""The same codes under another shape or in another order. The batch axis stays where it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from qfx import ops
from qfx.errors import LoweringError
from qfx.frontend.calls.call import Call, Storage, same
from qfx.frontend.scope import Scope
from qfx.frontend.sizes import BATCH
from qfx.ir import Value


def axis_of(x: Value, dim: int, more: int = 0) -> int:
    """`dim` counted from the front, the batch axis being 0.

    Args:
        more: axes that the result has beyond those of x.

    Raises:
        LoweringError: the batch axis.
    """
    axes = len(x.shape) + 1 + more
    if not -axes <= dim < axes:
        raise LoweringError(f"axis {dim} is not one of the {axes} axes")
    if dim % axes == 0:
        raise LoweringError("it works on the batch axis, and a network computes one sample at a time; use the other axes")
    return dim % axes


def flatten(scope: Scope, x: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    dims = len(x.shape) + 1
    start, end = start_dim % dims, end_dim % dims
    if start == 0:
        raise LoweringError("flatten from axis 0 mixes the samples of a batch; use start_dim=1")
    shape = (*x.shape[: start - 1], math.prod(x.shape[start - 1 : end]), *x.shape[end:])
    return scope.reshape(shape, x)


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
    return scope.reshape(rest, x)


def unflatten(scope: Scope, x: Value, dim: int, sizes: Sequence[int]) -> Value:
    axis = axis_of(x, dim)
    return reshape(scope, x, BATCH, *x.shape[: axis - 1], *_whole(sizes, x.shape[axis - 1]), *x.shape[axis:])


def _whole(sizes: Sequence[int], size: int) -> list[int]:
    """`sizes`, a -1 among them worked out."""
    return [size // -math.prod(sizes) if entry == -1 else entry for entry in sizes]


def squeeze(scope: Scope, x: Value, dim: int | Sequence[int] | None = None) -> Value:
    if dim is None:
        raise LoweringError("squeeze without an axis takes the batch axis away from a batch of one; name the axis")
    axes = {axis_of(x, axis) for axis in ([dim] if isinstance(dim, int) else dim)}
    kept = tuple(size for axis, size in enumerate(x.shape, 1) if axis not in axes or size != 1)
    if not kept:
        raise LoweringError(f"squeezing axes {dim} of {list(x.shape)} leaves no axis beside the batch; leave one")
    return x if kept == x.shape else scope.reshape(kept, x)


def unsqueeze(scope: Scope, x: Value, dim: int) -> Value:
    axis = axis_of(x, dim, more=1)
    return scope.reshape((*x.shape[: axis - 1], 1, *x.shape[axis - 1 :]), x)


def permute(scope: Scope, x: Value, *dims: Any) -> Value:
    given: list[int] = [*(dims[0] if dims and isinstance(dims[0], list | tuple) else dims)]
    axes = len(x.shape) + 1
    order = [dim % axes for dim in given]
    if sorted(order) != list(range(axes)):
        raise LoweringError(f"{given} is no order of {axes} axes")
    if order[0] != 0:
        raise LoweringError(f"the order {given} moves the batch axis; keep 0 in front")
    if order == sorted(order):
        return x
    inner = tuple(axis - 1 for axis in order[1:])
    return scope.add("", ops.Rearrange(x.shape, inner, tuple(x.shape[axis] for axis in inner)), x)


def transpose(scope: Scope, x: Value, dim0: int, dim1: int) -> Value:
    order = list(range(len(x.shape) + 1))
    first, second = axis_of(x, dim0), axis_of(x, dim1)
    order[first], order[second] = second, first
    return permute(scope, x, order)


def channel_shuffle(scope: Scope, x: Value, groups: int) -> Value:
    rest = x.shape[1:]
    dims = (groups, x.channels // groups, *rest)
    return scope.add("", ops.Rearrange(dims, (1, 0, *range(2, len(dims))), x.shape), x)


def pixel_shuffle(scope: Scope, x: Value, upscale_factor: int) -> Value:
    factor = upscale_factor
    channels, height, width = x.shape
    inner = channels // factor**2
    dims = (inner, factor, factor, height, width)
    return scope.add("", ops.Rearrange(dims, (0, 3, 1, 4, 2), (inner, height * factor, width * factor)), x)


def pixel_unshuffle(scope: Scope, x: Value, downscale_factor: int) -> Value:
    factor = downscale_factor
    channels, height, width = x.shape
    dims = (channels, height // factor, factor, width // factor, factor)
    return scope.add("", ops.Rearrange(dims, (0, 2, 4, 1, 3), (channels * factor**2, dims[1], dims[3])), x)


CALLS = (
    Call(
        ("flatten",),
        modules={nn.Flatten: same("start_dim", "end_dim")},
        lower=flatten,
        storage=Storage.SAME,
    ),
    Call(("reshape", "view"), lower=reshape, storage=Storage.SAME),
    Call(
        ("unflatten",),
        modules={nn.Unflatten: {"dim": "dim", "sizes": "unflattened_size"}},
        lower=unflatten,
        storage=Storage.SAME,
    ),
    Call(("squeeze",), lower=squeeze, storage=Storage.SAME),
    Call(("unsqueeze",), lower=unsqueeze, storage=Storage.SAME),
    Call(("permute",), lower=permute, storage=Storage.VIEW),
    Call(("transpose", "swapaxes", "swapdims"), lower=transpose, storage=Storage.VIEW),
    Call(("channel_shuffle",), modules={nn.ChannelShuffle: same("groups")}, lower=channel_shuffle),
    Call(("pixel_shuffle",), modules={nn.PixelShuffle: same("upscale_factor")}, lower=pixel_shuffle),
    Call(("pixel_unshuffle",), modules={nn.PixelUnshuffle: same("downscale_factor")}, lower=pixel_unshuffle),
)
