"""The peers of benchmarks/train_step.py: the float networks with other libraries' 8-bit quantizers put in.

Both quantize weights and the results of ReLUs to 8 bits with scales per tensor; batch normalisation, pools and sums stay float.
Brevitas's scales are powers of two, learned for activations. torch.ao's follow running extremes and are not learned.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

from torch import nn

from qfx.errors import ToolMissingError

Replacement = Callable[[nn.Module], nn.Module | None]


def replace(model: nn.Module, make: Replacement) -> nn.Module:
    """Put `make(layer)` in the place of each layer for which it gives one."""
    for name, child in list(model.named_children()):
        new = make(child)
        if new is None:
            replace(child, make)
        else:
            setattr(model, name, new)
    return model


def brevitas(model: nn.Module) -> nn.Module:
    """`model` with Brevitas's 8-bit fixed-point layers.

    Raises:
        ToolMissingError: Brevitas is not installed.
    """
    try:
        layers: Any = importlib.import_module("brevitas.nn")
        quant: Any = importlib.import_module("brevitas.quant.fixed_point")
    except ImportError as error:
        raise ToolMissingError(f"the comparison needs Brevitas ({error}); run make bench-env") from error

    def make(layer: nn.Module) -> nn.Module | None:
        if isinstance(layer, nn.Conv2d):
            new = layers.QuantConv2d(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,
                layer.stride,
                layer.padding,
                bias=layer.bias is not None,
                weight_quant=quant.Int8WeightPerTensorFixedPoint,
            )
        elif isinstance(layer, nn.Linear):
            weight_quant = quant.Int8WeightPerTensorFixedPoint
            new = layers.QuantLinear(layer.in_features, layer.out_features, bias=True, weight_quant=weight_quant)
        elif isinstance(layer, nn.ReLU):  # its scale is a learned parameter once the statistics are collected
            return layers.QuantReLU(act_quant=quant.Uint8ActPerTensorFixedPoint, collect_stats_steps=2)
        else:
            return None
        new.load_state_dict(layer.state_dict(), strict=False)
        return new

    return replace(model, make)


def torch_ao(model: nn.Module) -> nn.Module:
    """`model` with torch.ao's fused fake-quantizers."""
    quantization: Any = importlib.import_module("torch.ao.quantization")
    qat: Any = importlib.import_module("torch.ao.nn.qat")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config: Any = quantization.get_default_qat_qconfig("fbgemm")
        weight: Any = quantization.default_fused_wt_fake_quant
    config = quantization.QConfig(activation=config.activation, weight=weight)

    def make(layer: nn.Module) -> nn.Module | None:
        if isinstance(layer, nn.Conv2d):
            layer.qconfig = config
            return qat.Conv2d.from_float(layer)
        if isinstance(layer, nn.Linear):
            layer.qconfig = config
            return qat.Linear.from_float(layer)
        return nn.Sequential(nn.ReLU(), config.activation()) if isinstance(layer, nn.ReLU) else None

    return replace(model, make)
