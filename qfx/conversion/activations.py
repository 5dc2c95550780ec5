"""What functions element by element become. A handler has the signature of the torch function, after the walk.

ReLU, ReLU6, Hardtanh   exact, then a cast
LeakyReLU               a cast, exact, a cast
other functions         a table between two casts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import qfx.nn as qnn
from qfx.conversion.config import Formats
from qfx.conversion.tracked import Kind, Tracked
from qfx.conversion.walk import Handler, Unconvertible, Walk
from qfx.nn.lookup import Applied


def relu(walk: Walk, x: Tracked, inplace: bool = False) -> Tracked:
    path = walk.name()
    return walk.place(path, qnn.ReLU(output=walk.formats(path, "ReLU").result(signed=False)), x, kind=Kind.CAST, signed=False)


def hardtanh(walk: Walk, x: Tracked, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tracked:
    """Two bounds: ReLU6, Hardtanh, clamp."""
    path, signed = walk.name(), min_val < 0 and x.signed
    name = "ReLU6" if (min_val, max_val) == (0, 6) else "Hardtanh"
    quant = walk.formats(path, name).result(signed)
    layer = qnn.ReLU6(output=quant) if name == "ReLU6" else qnn.Hardtanh(min_val, max_val, output=quant)
    return walk.place(path, layer, x, kind=Kind.CAST, signed=signed)


def relu6(walk: Walk, x: Tracked, inplace: bool = False) -> Tracked:
    return hardtanh(walk, x, 0, 6)


def clamp(walk: Walk, x: Tracked, min: float | None = None, max: float | None = None) -> Tracked:
    if min == 0 and max is None:
        return relu(walk, x)
    return hardtanh(walk, x, float("-inf") if min is None else min, float("inf") if max is None else max)


def clamp_min(walk: Walk, x: Tracked, min: float) -> Tracked:
    return clamp(walk, x, min)


def clamp_max(walk: Walk, x: Tracked, max: float) -> Tracked:
    return clamp(walk, x, None, max)


def leaky_relu(walk: Walk, x: Tracked, negative_slope: float = 0.01, inplace: bool = False) -> Tracked:
    """A PReLU whose slope is not trained."""
    path = walk.name()
    layer = prelu_layer(walk.formats(path, "PReLU"), x, 1)
    layer.weight = nn.Parameter(torch.tensor([negative_slope]), requires_grad=False)
    return walk.place(path, layer, x, kind=Kind.CAST, signed=x.signed)


def prelu_layer(formats: Formats, x: Tracked, channels: int) -> qnn.PReLU:
    """A PReLU that reads x."""
    pre = None if x.kind <= Kind.SUM else formats.branch()
    return qnn.PReLU(channels, slope=formats.scale(), input=pre, output=formats.result(x.signed))


_DROPOUTS: Mapping[str, type[nn.Module]] = {
    "dropout": nn.Dropout,
    "dropout1d": nn.Dropout1d,
    "dropout2d": nn.Dropout2d,
    "dropout3d": nn.Dropout3d,
    "alpha_dropout": nn.AlphaDropout,
    "feature_alpha_dropout": nn.FeatureAlphaDropout,
}
"""By the name of the function, without the `_` of an in-place form."""


def dropout(walk: Walk, x: Tracked, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tracked:
    """As a module, so that it is there in training; the trace is that of eval."""
    if walk.node.op == "call_module":
        return walk.keep()
    if training:
        raise Unconvertible("dropout with training=True drops values in eval, too; pass training=self.training")
    make: Any = _DROPOUTS[str(getattr(walk.node.target, "__name__", "")).rstrip("_")]
    return walk.place(walk.name("dropout"), make(p), x, kind=x.kind, signed=x.signed)


def alpha_dropout(walk: Walk, x: Tracked, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tracked:
    return dropout(walk, x, p, training)


def lookup(walk: Walk, x: Tracked, function: Applied, positive: bool = False) -> Tracked:
    """Any function, element by element, as a table; `positive`: it has no negative values."""
    path = walk.name()
    formats = walk.formats(path, "Lookup")
    pre = formats.branch() if x.signed and x.kind is not Kind.CAST else formats.result(x.signed)  # as before a PReLU
    layer = qnn.Lookup(function, pre, formats.result(signed=not positive), name=function.function.__name__)
    return walk.place(path, layer, x, kind=Kind.CAST, signed=not positive)


def _table(function: Callable[..., Tensor], positive: bool = False) -> Handler:
    """A scalar function; its other arguments are constants of the table."""

    def handler(walk: Walk, x: Tracked, *args: Any, inplace: bool = False, **kwargs: Any) -> Tracked:
        return lookup(walk, x, Applied(function, args, kwargs), positive)

    return handler


HANDLERS: Mapping[str, Handler] = {
    "relu": relu,
    "relu6": relu6,
    "hardtanh": hardtanh,
    "clamp": clamp,
    "clamp_min": clamp_min,
    "clamp_max": clamp_max,
    "leaky_relu": leaky_relu,
    "dropout": dropout,
    "alpha_dropout": alpha_dropout,
    "sigmoid": _table(torch.sigmoid, positive=True),
    "hardsigmoid": _table(functional.hardsigmoid, positive=True),
    "tanh": _table(torch.tanh),
    "silu": _table(functional.silu),
    "hardswish": _table(functional.hardswish),
    "gelu": _table(functional.gelu),
    "exp": _table(torch.exp, positive=True),
    "elu": _table(functional.elu),
    "celu": _table(functional.celu),
    "selu": _table(functional.selu),
    "mish": _table(functional.mish),
    "softplus": _table(functional.softplus, positive=True),
    "softsign": _table(functional.softsign),
    "logsigmoid": _table(functional.logsigmoid),
    "tanhshrink": _table(functional.tanhshrink),
    "softshrink": _table(functional.softshrink),
    "hardshrink": _table(functional.hardshrink),
    "abs": _table(torch.abs, positive=True),
    "square": _table(torch.square, positive=True),
    "sin": _table(torch.sin),
    "cos": _table(torch.cos),
    "erf": _table(torch.erf),
}
"""By the canonical name of the call."""
