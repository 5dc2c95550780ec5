"""Freezing of weights that oscillate between two codes.

With few bits a weight whose best value lies between two codes goes back and forth, and the batch statistics with it. After
Nagel et al., "Overcoming Oscillations in Quantization-Aware Training" (2022): with m the momentum, per weight and step

    o = 1 if the code changed in the direction opposite to its last change, else 0
    frequency <- m o + (1 - m) frequency,    average <- m code + (1 - m) average

A weight whose frequency exceeds the threshold stays at round(average) for good. A binary point that moves takes codes and averages
along, so that the weights keep their values; what its step changes in the codes is no oscillation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qfx.annotations import explained_init
from qfx.checks import argument, number
from qfx.nn.conv2d import Convolution
from qfx.nn.linear import Linear
from qfx.quant import Quantizer
from qfx.quant.rounding import exp2

FEW_BITS = 4
"""Only weights of at most this many bits are watched; wider ones have no oscillations worth the time."""


@dataclass
class _Watched:
    weight: Tensor
    quantizer: Quantizer
    frac: Tensor
    code: Tensor
    direction: Tensor
    frequency: Tensor
    average: Tensor
    frozen: Tensor


@explained_init
class OscillationFreezer:
    """Watches the weights of convolutions and linear layers.

    Args:
        model: a calibrated network in training.
        threshold: frequency from which a weight is frozen.
        momentum: m above.
    """

    def __init__(self, model: nn.Module, threshold: float = 0.02, momentum: float = 0.01) -> None:
        self.threshold = argument("the freezer of weights", "threshold", threshold, number(0, 1))
        self.momentum = argument("the freezer of weights", "momentum", momentum, number(0, 1))
        layers = [layer for layer in model.modules() if isinstance(layer, Convolution | Linear)]
        watched = [layer for layer in layers if layer.weight_quant.enabled and layer.weight_quant.spec.width <= FEW_BITS]
        self._watched = [_watch(layer.weight, layer.weight_quant) for layer in watched]

    @torch.no_grad()
    def step(self) -> None:
        """Look at the weights, and put the frozen ones back; call it after each optimizer step."""
        m = self.momentum
        for w in self._watched:
            still = self._follow(w)
            code = _codes(w.weight, w.quantizer)
            change = torch.sign(code - w.code) * still
            w.frequency.lerp_((change * w.direction < 0).to(code.dtype), m)
            w.direction = torch.where(change != 0, change, w.direction)
            w.average = torch.where(w.frozen, w.average, torch.lerp(w.average, code, m))
            w.frozen |= w.frequency > self.threshold
            held = torch.round(w.average) * _factor(w.weight, w.quantizer, -1)
            w.weight.copy_(torch.where(w.frozen, held, w.weight))
            w.code = torch.where(w.frozen, torch.round(w.average), code)

    @staticmethod
    def _follow(w: _Watched) -> Tensor:
        """Bring codes and averages to the binary point in use; returns where it is still that of the last step, as 1 or 0."""
        frac, before = w.quantizer.fracs, w.frac
        moved = _shaped(exp2(frac - before, w.weight.dtype), w.weight)
        w.frac, w.code, w.average = frac, w.code * moved, w.average * moved
        return _shaped((frac == before).to(w.weight.dtype), w.weight)

    def frozen(self) -> int:
        """How many weights are frozen."""
        return sum(int(w.frozen.sum()) for w in self._watched)


def _watch(weight: Tensor, quantizer: Quantizer) -> _Watched:
    with torch.no_grad():
        code = _codes(weight, quantizer)
    zeros = torch.zeros_like(code)
    return _Watched(
        weight, quantizer, quantizer.fracs, code, zeros, zeros.clone(), code.clone(), torch.zeros_like(code, dtype=torch.bool)
    )


def _codes(weight: Tensor, quantizer: Quantizer) -> Tensor:
    return quantizer(weight) * _factor(weight, quantizer, 1)


def _factor(weight: Tensor, quantizer: Quantizer, sign: int) -> Tensor:
    """`2**(sign * frac)`, in a shape that broadcasts over the weight."""
    return _shaped(exp2(sign * quantizer.fracs, weight.dtype), weight)


def _shaped(factor: Tensor, weight: Tensor) -> Tensor:
    """One factor, or one per channel, in a shape that broadcasts over the weight."""
    return factor.view(-1, *[1] * (weight.dim() - 1)) if factor.dim() else factor
