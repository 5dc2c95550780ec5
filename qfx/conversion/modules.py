"""What the modules of torch become. A handler takes the walk, the module and its operands; it returns the result.

convolution, linear     the operand in few bits; exact accumulator
batch normalisation     exact scale and offset; the operand may be an accumulator
ReLU, ReLU6, Hardtanh   exact, then a cast
PReLU, LeakyReLU        a cast, exact, a cast
other functions         a table between two casts
average pooling         exact sum, then a cast
what else is exact      stays as it is
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

import qfx.nn as qnn
from qfx.conversion.config import Formats
from qfx.conversion.values import Kind, Value
from qfx.conversion.walk import Handler, Unconvertible, Walk
from qfx.nn.avg_pool2d import adaptive_kernel

CONVOLUTIONS: Mapping[type[nn.Module], Any] = {
    nn.Conv1d: qnn.Conv1d,
    nn.Conv2d: qnn.Conv2d,
    nn.ConvTranspose1d: qnn.ConvTranspose1d,
    nn.ConvTranspose2d: qnn.ConvTranspose2d,
}


def convolution(walk: Walk, module: Any, x: Value) -> Value:
    twin = next(layer for kind, layer in CONVOLUTIONS.items() if isinstance(module, kind))

    def make(formats: Formats) -> nn.Module:
        common = {"groups": module.groups, "padding_mode": module.padding_mode}
        if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d):
            common["output_padding"] = module.output_padding
        layer = twin(
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            module.stride,
            module.padding,
            dilation=module.dilation,
            **common,
            weight=formats.weight(),
            bias=bias_of(module) is not None and formats.offset(),
        )
        return _with_weights(layer, module)

    return walk.shared(make, twin.__name__, walk.cast(x), Kind.PRODUCT)


def linear(walk: Walk, module: nn.Linear, x: Value) -> Value:
    if len(x.shape) != 2:
        raise Unconvertible(
            f"its input has {len(x.shape)} axes, and qfx.nn.Linear wants (batch, feature); flatten before it, or use nn.Conv1d with"
            " kernels of 1 on (batch, feature, length)"
        )

    def make(formats: Formats) -> nn.Module:
        bias = bias_of(module) is not None and formats.offset()
        return _with_weights(qnn.Linear(module.in_features, module.out_features, bias, weight=formats.weight()), module)

    return walk.shared(make, "Linear", walk.cast(x), Kind.PRODUCT)


def bias_of(module: Any) -> Tensor | None:
    """None where the module was made without a bias, whatever torch's annotations say."""
    return module.bias


def _with_weights(layer: Any, module: Any) -> nn.Module:
    layer.weight = module.weight
    if module.bias is not None:
        layer.bias = module.bias
    return layer


def batch_norm(walk: Walk, module: Any, x: Value) -> Value:
    twin: Any = qnn.BatchNorm2d if len(x.shape) == 4 else qnn.BatchNorm1d

    def make(formats: Formats) -> nn.Module:
        given = (module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
        layer = twin(*given, scale=formats.scale(), offset=formats.offset())
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(layer, name, getattr(module, name))
        return _with_weights(layer, module) if module.affine else layer

    return walk.shared(make, twin.__name__, walk.narrow(x, Kind.PRODUCT), Kind.AFFINE)


def relu(walk: Walk, module: object, x: Value) -> Value:
    path = walk.name()
    return walk.place(path, qnn.ReLU(output=walk.formats(path, "ReLU").result(signed=False)), x, kind=Kind.CAST, signed=False)


def clamp(walk: Walk, low: float, high: float, x: Value, path: str = "") -> Value:
    """Two bounds: ReLU6, Hardtanh, clamp."""
    path, signed = path or walk.name(), low < 0 and x.signed
    name = "ReLU6" if (low, high) == (0, 6) else "Hardtanh"
    quant = walk.formats(path, name).result(signed)
    layer = qnn.ReLU6(output=quant) if name == "ReLU6" else qnn.Hardtanh(low, high, output=quant)
    return walk.place(path, layer, x, kind=Kind.CAST, signed=signed)


def hardtanh(walk: Walk, module: nn.Hardtanh, x: Value) -> Value:
    return clamp(walk, module.min_val, module.max_val, x)


def prelu(walk: Walk, module: nn.PReLU, x: Value) -> Value:
    first = walk.modules.get(str(walk.node.target))
    path = walk.name()
    layer = _prelu(walk.formats(path, "PReLU"), x, module.num_parameters)
    layer.weight = module.weight
    if isinstance(first, qnn.PReLU):  # called again: the same slopes in the same format, casts of its own
        layer.slope_quant = first.slope_quant
    return walk.place(path, layer, x, kind=Kind.CAST, signed=x.signed)


def _prelu(formats: Formats, x: Value, channels: int) -> qnn.PReLU:
    pre = None if x.kind <= Kind.SUM else formats.branch()
    return qnn.PReLU(channels, slope=formats.scale(), input=pre, output=formats.result(x.signed))


def leaky_relu(walk: Walk, x: Value, slope: float = 0.01, inplace: bool = False) -> Value:
    """A PReLU whose slope is not trained."""
    path = walk.name()
    layer = _prelu(walk.formats(path, "PReLU"), x, 1)
    layer.weight = nn.Parameter(torch.tensor([slope]), requires_grad=False)
    return walk.place(path, layer, x, kind=Kind.CAST, signed=x.signed)


def leaky_relu_module(walk: Walk, module: nn.LeakyReLU, x: Value) -> Value:
    return leaky_relu(walk, x, module.negative_slope)


@dataclass(frozen=True)
class Applied:
    """A function of a tensor with constants as its other arguments; it can be saved, as a closure cannot."""

    function: Callable[..., Tensor]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(x, *self.args, **self.kwargs)


def lookup(walk: Walk, x: Value, function: Applied, positive: bool = False) -> Value:
    """Any function, element by element, as a table; `positive`: it has no negative values."""
    path = walk.name()
    formats = walk.formats(path, "Lookup")
    pre = formats.branch() if x.signed and x.kind is not Kind.CAST else formats.result(x.signed)  # as before a PReLU
    layer = qnn.Lookup(function, pre, formats.result(signed=not positive), name=function.function.__name__)
    return walk.place(path, layer, x, kind=Kind.CAST, signed=not positive)


def avg_pool(walk: Walk, make: Callable[..., nn.Module], x: Value, *args: Any, name: str = "", **kwargs: Any) -> Value:
    """`make` is a pool of qfx.nn, called with what torch's has been given."""
    path = name or walk.name()
    quant = walk.formats(path, getattr(make, "__name__", "AvgPool2d")).pooled(x.signed)
    return walk.place(path, make(*args, **kwargs, output=quant), x, kind=Kind.CAST, signed=x.signed)


def adaptive_avg_pool(walk: Walk, size: Any, x: Value, name: str = "") -> Value:
    """An adaptive pool to the size that the image has is left out."""
    twin: Any = qnn.AdaptiveAvgPool2d if len(x.shape) == 4 else qnn.AdaptiveAvgPool1d
    rows = x.shape[2:] if len(x.shape) == 4 else (1, x.shape[2])
    sizes: Any = tuple(cast(Sequence[Any], size)) if isinstance(size, list | tuple) else size
    wide: Any = sizes if len(x.shape) == 4 else (None, sizes[0] if isinstance(sizes, tuple) else sizes)
    if adaptive_kernel((rows[0], rows[1]), wide) == (1, 1):
        return walk.value(x.node, x.kind, x.signed)
    return avg_pool(walk, twin, x, sizes, name=name)


def avg_pool_module(walk: Walk, module: Any, x: Value) -> Value:
    arguments = (module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad)
    if isinstance(module, nn.AvgPool1d):
        return avg_pool(walk, qnn.AvgPool1d, x, *arguments)
    return avg_pool(walk, qnn.AvgPool2d, x, *arguments, module.divisor_override)


def adaptive_avg_pool_module(walk: Walk, module: Any, x: Value) -> Value:
    return adaptive_avg_pool(walk, module.output_size, x)


def _table(function: Callable[..., Tensor], positive: bool = False, **attributes: str) -> Handler:
    """A module that applies `function` with arguments that are its attributes: argument=attribute."""

    def handler(walk: Walk, module: nn.Module, x: Value) -> Value:
        given = {argument: getattr(module, attribute) for argument, attribute in attributes.items()}
        return lookup(walk, x, Applied(function, (), given), positive)

    return handler


MODULES: Mapping[type[nn.Module], Handler] = {
    **dict.fromkeys(CONVOLUTIONS, convolution),
    nn.Linear: linear,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm), batch_norm),
    nn.ReLU: relu,
    nn.Hardtanh: hardtanh,  # nn.ReLU6, too
    nn.PReLU: prelu,
    nn.LeakyReLU: leaky_relu_module,
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d), avg_pool_module),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), adaptive_avg_pool_module),
    nn.Sigmoid: _table(torch.sigmoid, positive=True),
    nn.Hardsigmoid: _table(functional.hardsigmoid, positive=True),
    nn.Tanh: _table(torch.tanh),
    nn.SiLU: _table(functional.silu),
    nn.Hardswish: _table(functional.hardswish),
    nn.GELU: _table(functional.gelu, approximate="approximate"),
    nn.ELU: _table(functional.elu, alpha="alpha"),
    nn.CELU: _table(functional.celu, alpha="alpha"),
    nn.SELU: _table(functional.selu),
    nn.Mish: _table(functional.mish),
    nn.Softplus: _table(functional.softplus, positive=True, beta="beta", threshold="threshold"),
    nn.Softsign: _table(functional.softsign),
    nn.LogSigmoid: _table(functional.logsigmoid),
    nn.Tanhshrink: _table(functional.tanhshrink),
    nn.Softshrink: _table(functional.softshrink, lambd="lambd"),
    nn.Hardshrink: _table(functional.hardshrink, lambd="lambd"),
}
"""By the module's class; a subclass takes the handler of its nearest base."""
