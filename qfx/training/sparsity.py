"""A penalty on signed digits, so that a network learns codes with fewer of them where they cost it nothing.

A multiplication by a weight whose code has d signed digits takes d - 1 additions. Let p_k(w) be the nearest value with at most k
digits, and d the digits of w's code. The penalty of a layer is the mean over its weights of

    |w - p_(d-1)(w)| / step,    0 for weights whose code is 0

Its gradient, +-1 / step, pulls each weight towards the nearest code with one digit fewer; the loss holds those that matter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qfx.annotations import explained
from qfx.errors import QuantizationError
from qfx.nn.conv2d import Convolution
from qfx.nn.linear import Linear
from qfx.quant import Quantizer
from qfx.quant.cast import quantize
from qfx.quant.rounding import exp2


@explained
def digit_penalty(model: nn.Module) -> Tensor:
    """The sum over all convolutions and linear layers; differentiable in the weights.

    Raises:
        QuantizationError: the model has none, or their quantizers are off.
    """
    layers = [layer for layer in _layers(model) if layer.weight_quant.enabled]
    if not layers:
        raise QuantizationError("the quantizers of the weights are off, so they have no digits; switch them on with set_enabled")
    return torch.stack([_layer(layer.weight, layer.weight_quant) for layer in layers]).sum()


@explained
def mean_digits(model: nn.Module) -> float:
    """Signed digits of a weight's code, the mean over all weights of convolutions and linear layers.

    Raises:
        QuantizationError: the model has none.
    """
    with torch.no_grad():
        counts = [_sparser(layer.weight, layer.weight_quant)[1].flatten() for layer in _layers(model)]
    return float(torch.cat(counts).to(torch.float64).mean())


def _layers(model: nn.Module) -> list[Convolution | Linear]:
    layers = [layer for layer in model.modules() if isinstance(layer, Convolution | Linear)]
    if not layers:
        raise QuantizationError(f"{type(model).__name__} has no convolution or linear layer of qfx.nn; convert the model first")
    return layers


def _layer(weight: Tensor, quantizer: Quantizer) -> Tensor:
    with torch.no_grad():
        target, digits = _sparser(weight, quantizer)
        frac = quantizer.fracs
        scale = exp2(frac, weight.dtype)
        scale = scale.view(-1, *[1] * (weight.dim() - 1)) if scale.dim() else scale
    return ((weight - target).abs() * (digits > 0) * scale).mean()


def _sparser(weight: Tensor, quantizer: Quantizer) -> tuple[Tensor, Tensor]:
    """The nearest value with one digit fewer than the weight's code has, and how many digits that has."""
    spec, frac = quantizer.spec, quantizer.fracs
    q, _ = quantize(weight, frac, spec)
    most = spec.k_hot or (spec.width + 1) // 2
    nearest, target = torch.zeros_like(weight), torch.zeros_like(weight)
    digits = torch.zeros_like(weight, dtype=torch.int64)
    for k in range(1, most + 1):
        unfinished = nearest != q
        target = torch.where(unfinished, nearest, target)
        digits += unfinished
        nearest, _ = quantize(q, frac, spec.with_digits(k))
    return target, digits
