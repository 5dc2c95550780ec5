"""What modules with parameters become: the layer of qfx.nn with the same parameters. A handler takes the walk, the module and x.

convolution, linear     the operand in few bits; exact accumulator
batch normalisation     exact scale and offset; the operand may be an accumulator
PReLU                   a cast, exact, a cast
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

import qfx.nn as qnn
from qfx.conversion.activations import prelu_layer
from qfx.conversion.config import Formats
from qfx.conversion.tracked import Kind, Tracked
from qfx.conversion.walk import Handler, Unconvertible, Walk


def convolution(walk: Walk, module: Any, x: Tracked) -> Tracked:
    counterpart: Any = getattr(qnn, walk.call.layer)

    def make(formats: Formats) -> nn.Module:
        common = {"groups": module.groups, "padding_mode": module.padding_mode}
        if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d):
            common["output_padding"] = module.output_padding
        layer = counterpart(
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

    return walk.shared(make, counterpart.__name__, walk.cast(x), Kind.PRODUCT)


def linear(walk: Walk, module: nn.Linear, x: Tracked) -> Tracked:
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


def batch_norm(walk: Walk, module: Any, x: Tracked) -> Tracked:
    counterpart: Any = qnn.BatchNorm2d if len(x.shape) == 4 else qnn.BatchNorm1d

    def make(formats: Formats) -> nn.Module:
        given = (module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
        layer = counterpart(*given, scale=formats.scale(), offset=formats.offset())
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(layer, name, getattr(module, name))
        return _with_weights(layer, module) if module.affine else layer

    return walk.shared(make, counterpart.__name__, walk.narrow(x, Kind.PRODUCT), Kind.AFFINE)


def prelu(walk: Walk, module: nn.PReLU, x: Tracked) -> Tracked:
    first = walk.modules.get(str(walk.node.target))
    path = walk.name()
    layer = prelu_layer(walk.formats(path, "PReLU"), x, module.num_parameters)
    layer.weight = module.weight
    if isinstance(first, qnn.PReLU):  # called again: the same slopes in the same format, casts of its own
        layer.slope_quant = first.slope_quant
    return walk.place(path, layer, x, kind=Kind.CAST, signed=x.signed)


HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"), convolution),
    "linear": linear,
    **dict.fromkeys(("batch_norm", "batch_norm1d"), batch_norm),
    "prelu": prelu,
}
