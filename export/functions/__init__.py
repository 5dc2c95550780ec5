"""Plain torch functions and modules that are exact on fixed-point values, and what they lower to.

A handler has the signature of the torch function it stands for, after the scope. Anything it cannot do exactly is a
`LoweringError` whose text completes "<call> at <line>: ...".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules import dropout as dropouts
from torch.nn.modules import padding as paddings

from qfx.export.functions import arithmetic, heads, parts, pools, shapes
from qfx.export.functions.heads import Head
from qfx.export.functions.parts import Part
from qfx.export.functions.shapes import BATCH
from qfx.ir import Value
from qfx.nn.scope import Scope

__all__ = ["BATCH", "FUNCTIONS", "METHODS", "SIZES", "Head", "Part", "lower_module"]

Handler = Callable[..., Value | tuple[Part, ...] | Head]

FUNCTIONS: Mapping[object, Handler] = {
    operator.add: arithmetic.add,
    operator.iadd: arithmetic.add,
    torch.add: arithmetic.add,
    operator.sub: arithmetic.subtract,
    operator.isub: arithmetic.subtract,
    torch.sub: arithmetic.subtract,
    torch.subtract: arithmetic.subtract,
    torch.rsub: arithmetic.subtract_from,
    operator.neg: arithmetic.negate,
    torch.neg: arithmetic.negate,
    torch.negative: arithmetic.negate,
    operator.truediv: arithmetic.divide,
    operator.itruediv: arithmetic.divide,
    torch.div: arithmetic.divide,
    torch.divide: arithmetic.divide,
    torch.true_divide: arithmetic.divide,
    operator.mul: arithmetic.multiply,
    operator.imul: arithmetic.multiply,
    torch.mul: arithmetic.multiply,
    torch.multiply: arithmetic.multiply,
    torch.relu: arithmetic.relu,
    torch.relu_: arithmetic.relu,
    functional.relu: arithmetic.relu,
    functional.relu6: arithmetic.relu6,
    functional.hardtanh: arithmetic.hardtanh,
    torch.clamp: arithmetic.clamp,
    torch.clip: arithmetic.clamp,
    torch.clamp_min: arithmetic.clamp_min,
    torch.clamp_max: arithmetic.clamp_max,
    functional.dropout: arithmetic.dropout,
    torch.argmax: arithmetic.argmax,
    functional.max_pool2d: pools.max_pool2d,
    torch.max_pool2d: pools.max_pool2d,
    functional.max_pool1d: pools.max_pool1d,
    torch.max_pool1d: pools.max_pool1d,
    functional.avg_pool2d: pools.avg_pool2d,
    functional.avg_pool1d: pools.avg_pool1d,
    functional.adaptive_avg_pool2d: pools.adaptive_avg_pool2d,
    functional.adaptive_avg_pool1d: pools.adaptive_avg_pool1d,
    functional.adaptive_max_pool2d: pools.adaptive_max_pool2d,
    functional.adaptive_max_pool1d: pools.adaptive_max_pool1d,
    torch.mean: pools.mean,
    torch.flatten: shapes.flatten,
    torch.reshape: shapes.reshape,
    torch.unflatten: shapes.unflatten,
    torch.squeeze: shapes.squeeze,
    torch.unsqueeze: shapes.unsqueeze,
    torch.permute: shapes.permute,
    torch.transpose: shapes.transpose,
    torch.swapaxes: shapes.transpose,
    torch.channel_shuffle: shapes.channel_shuffle,
    functional.channel_shuffle: shapes.channel_shuffle,
    functional.pixel_shuffle: shapes.pixel_shuffle,
    functional.pixel_unshuffle: shapes.pixel_unshuffle,
    operator.getitem: parts.item,
    torch.narrow: parts.narrow,
    torch.select: parts.select,
    torch.split: parts.split,
    torch.chunk: parts.chunk,
    torch.cat: parts.concat,
    torch.concat: parts.concat,
    torch.concatenate: parts.concat,
    functional.pad: parts.pad,
    functional.interpolate: parts.interpolate,
    functional.softmax: heads.softmax,
    torch.softmax: heads.softmax,
    functional.log_softmax: heads.log_softmax,
    torch.log_softmax: heads.log_softmax,
    torch.topk: heads.topk,
    torch.sort: heads.sort,
    torch.argsort: heads.argsort,
}
"""By the function object."""

METHODS: Mapping[str, Handler] = {
    "add": arithmetic.add,
    "add_": arithmetic.add,
    **dict.fromkeys(("sub", "sub_", "subtract", "subtract_"), arithmetic.subtract),
    **dict.fromkeys(("neg", "neg_", "negative", "negative_"), arithmetic.negate),
    **dict.fromkeys(("mul", "mul_", "multiply", "multiply_"), arithmetic.multiply),
    **dict.fromkeys(("div", "div_", "divide", "divide_", "true_divide", "true_divide_"), arithmetic.divide),
    "relu": arithmetic.relu,
    "relu_": arithmetic.relu,
    "clamp": arithmetic.clamp,
    "clamp_": arithmetic.clamp,
    "clip": arithmetic.clamp,
    "clamp_min": arithmetic.clamp_min,
    "clamp_max": arithmetic.clamp_max,
    "contiguous": arithmetic.same,
    "argmax": arithmetic.argmax,
    "mean": pools.mean,
    "flatten": shapes.flatten,
    "view": shapes.reshape,
    "reshape": shapes.reshape,
    "unflatten": shapes.unflatten,
    "squeeze": shapes.squeeze,
    "unsqueeze": shapes.unsqueeze,
    "permute": shapes.permute,
    "transpose": shapes.transpose,
    "swapaxes": shapes.transpose,
    "narrow": parts.narrow,
    "select": parts.select,
    "split": parts.split,
    "chunk": parts.chunk,
    "softmax": heads.softmax,
    "log_softmax": heads.log_softmax,
    "topk": heads.topk,
    "sort": heads.sort,
    "argsort": heads.argsort,
}
"""By the name of the tensor method."""

SIZES: Mapping[object, Callable[..., Any]] = {
    getattr(operator, name): getattr(operator, name) for name in ("getitem", "mul", "add", "sub", "floordiv", "mod")
}
"""Arithmetic on sizes, which happens while lowering."""


def lower_module(scope: Scope, module: nn.Module, x: Value) -> Value | Head | None:
    """A plain torch module; None for one that is not exact."""
    return _lower_pool(scope, module, x) or _lower_other(scope, module, x) or _lower_head(scope, module, x)


def _lower_head(scope: Scope, module: nn.Module, x: Value) -> Head | None:
    match module:
        case nn.Softmax():
            return heads.softmax(scope, x, module.dim)
        case nn.LogSoftmax():
            return heads.log_softmax(scope, x, module.dim)
        case nn.Softmax2d():
            return heads.softmax(scope, x, -3)
        case _:
            return None


def _lower_pool(scope: Scope, module: nn.Module, x: Value) -> Value | None:
    match module:
        case nn.MaxPool2d() | nn.MaxPool1d():
            pool = pools.max_pool2d if isinstance(module, nn.MaxPool2d) else pools.max_pool1d
            attributes = (module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)
            return pool(scope, x, *attributes, module.return_indices)
        case nn.AvgPool2d():
            attributes = (module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad)
            return pools.avg_pool2d(scope, x, *attributes, module.divisor_override)
        case nn.AvgPool1d():
            attributes = (module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad)
            return pools.avg_pool1d(scope, x, *attributes)
        case nn.AdaptiveAvgPool2d() | nn.AdaptiveAvgPool1d() | nn.AdaptiveMaxPool2d() | nn.AdaptiveMaxPool1d():
            name = type(module).__name__
            adaptive = pools.adaptive_avg_pool2d if "Avg" in name else pools.adaptive_max_pool2d
            if name.endswith("1d"):
                adaptive = pools.adaptive_avg_pool1d if "Avg" in name else pools.adaptive_max_pool1d
            size: Any = module.output_size
            return adaptive(scope, x, size)
        case _:
            return None


def _lower_other(scope: Scope, module: nn.Module, x: Value) -> Value | None:
    match module:
        case nn.Identity() | dropouts._DropoutNd():  # pyright: ignore[reportPrivateUsage]
            return x
        case nn.Flatten():
            return shapes.flatten(scope, x, module.start_dim, module.end_dim)
        case nn.Unflatten():
            axis: Any = module.dim
            sizes: Any = module.unflattened_size
            return shapes.unflatten(scope, x, axis, sizes)
        case nn.ReLU():
            return arithmetic.relu(scope, x)
        case nn.Hardtanh():  # nn.ReLU6, too
            return arithmetic.clamp(scope, x, module.min_val, module.max_val)
        case paddings._ConstantPadNd():  # pyright: ignore[reportPrivateUsage]
            border: Any = module.padding
            return parts.pad(scope, x, border, value=module.value)
        case nn.Upsample():
            return parts.interpolate(scope, x, module.size, module.scale_factor, module.mode)
        case nn.PixelShuffle():
            return shapes.pixel_shuffle(scope, x, module.upscale_factor)
        case nn.PixelUnshuffle():
            return shapes.pixel_unshuffle(scope, x, module.downscale_factor)
        case nn.ChannelShuffle():
            return shapes.channel_shuffle(scope, x, module.groups)
        case _:
            return None
