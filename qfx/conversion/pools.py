"""What average pools and means become: the exact sum, then a cast. Maximum pools stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import nn

import qfx.nn as qnn
from qfx.conversion.tracked import Kind, Tracked
from qfx.conversion.walk import Handler, Unconvertible, Walk
from qfx.frontend.pooling import adaptive_kernel


def avg_pool(make: Callable[..., nn.Module], walk: Walk, x: Tracked, *args: Any, name: str = "", **kwargs: Any) -> Tracked:
    """`make` is a pool of qfx.nn, called with what torch's has been given."""
    path = name or walk.name()
    quant = walk.formats(path, getattr(make, "__name__", "AvgPool2d")).pooled(x.signed)
    return walk.place(path, make(*args, **kwargs, output=quant), x, kind=Kind.CAST, signed=x.signed)


def adaptive_avg_pool(walk: Walk, x: Tracked, output_size: Any, name: str = "") -> Tracked:
    """An adaptive pool to the size that the image has is left out."""
    counterpart: Any = qnn.AdaptiveAvgPool2d if len(x.shape) == 4 else qnn.AdaptiveAvgPool1d
    rows = x.shape[2:] if len(x.shape) == 4 else (1, x.shape[2])
    sizes: Any = tuple(cast(Sequence[Any], output_size)) if isinstance(output_size, list | tuple) else output_size
    wide: Any = sizes if len(x.shape) == 4 else (None, sizes[0] if isinstance(sizes, tuple) else sizes)
    if adaptive_kernel((rows[0], rows[1]), wide) == (1, 1):
        return walk.value(x.node, x.kind, x.signed)
    return avg_pool(counterpart, walk, x, sizes, name=name)


def mean(walk: Walk, x: Tracked, dim: Any = None, keepdim: bool = False) -> Tracked:
    """Over pixels: an adaptive pool, whose axes of one pixel go unless `keepdim`."""
    axes = sorted({axis % len(x.shape) for axis in ([dim] if isinstance(dim, int) else dim or (0,))})
    if axes[0] < 2:
        raise Unconvertible(f"a mean over axes {dim} mixes samples or channels; only pixels can be averaged, as in x.mean((2, 3))")
    size = tuple(1 if axis in axes else None for axis in range(2, len(x.shape)))
    pooled = adaptive_avg_pool(walk, x, size, name=walk.name("mean"))
    if keepdim:
        return pooled
    node = pooled.node
    for axis in reversed(axes):
        node = walk.graph.call_function(torch.squeeze, (node, axis))
    return walk.value(node, pooled.kind, pooled.signed)


HANDLERS: Mapping[str, Handler] = {
    "avg_pool2d": partial(avg_pool, qnn.AvgPool2d),
    "avg_pool1d": partial(avg_pool, qnn.AvgPool1d),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_avg_pool1d"), adaptive_avg_pool),
    "mean": mean,
}
"""By the canonical name of the call."""
