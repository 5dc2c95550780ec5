"""The steps of eval between a convolution and the next, taken together where nobody looks in between.

A batch normalisation or a sum whose only consumer begins with a cast may hand over what it would have computed with, a `Deferred`.
The consumer computes

    Q(max(sum of Q_i(scale_i[c] * x_i + offset_i[c]), 0))        max only in a ReLU, scale and offset behind a normalisation

block by block in float64, which holds every step that float32 holds, and writes float32. Arithmetic and result are those of the
separate steps; what is saved are tensors in memory.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from qfx.nn.layer import per_channel
from qfx.quant import Quantizer, kernel
from qfx.quant.cast import compute
from qfx.quant.kernel import Operand
from qfx.quant.quantizer import FLOAT32_BITS

BLOCK = 1 << 16
"""Elements, about, that stay in a processor's cache while torch computes the steps one after the other."""


@dataclass(frozen=True)
class Deferred:
    """The sum of some operands of one shape, not computed yet."""

    operands: tuple[Operand, ...]

    @classmethod
    def affine(cls, x: Tensor, scale: Tensor, offset: Tensor) -> Deferred:
        """scale[c] * x + offset[c], of a float32 x (batch, channel, ...)."""
        return cls((Operand(x.contiguous(), (scale.to(torch.float64), offset.to(torch.float64))),))

    def value(self) -> Tensor:
        """The step by itself, in float64."""
        return _sum(self.operands, slice(None))

    def cast(self, quantizer: Quantizer, relu: bool) -> Tensor:
        """The quantized value, or that of its positive part; float32, the quantizer has at most 24 bits."""
        first, spec, point = self.operands[0].x, quantizer.spec, _point(quantizer)
        known = all(operand.cast is None or kernel.serves_spec(operand.cast[1]) for operand in self.operands)
        if known and kernel.serves_spec(spec) and kernel.serves(*(operand.x for operand in self.operands)):
            return kernel.sum_cast(self.operands, point, spec, relu)
        result = torch.empty_like(first)
        on_cpu = first.device.type == "cpu"
        step = max(1, BLOCK // max(1, math.prod(first.shape[1:]))) if on_cpu else max(1, len(first))
        for start in range(0, len(first), step):
            part = slice(start, start + step)
            wide = _sum(self.operands, part)
            result[part] = compute(wide.relu_() if relu else wide, point, spec)[0]
        return result


def summand(x: Tensor | Deferred, quantizer: Quantizer | None) -> Operand | None:
    """`x`, cast by `quantizer` where there is one, as an operand of a sum in float32; None if it cannot be one."""
    if isinstance(x, Tensor) and x.dtype != torch.float32:
        return None
    if quantizer is None:
        return Operand(x.contiguous()) if isinstance(x, Tensor) else None
    if quantizer.spec.width > FLOAT32_BITS:
        return None
    first, *others = (Operand(x.contiguous()),) if isinstance(x, Tensor) else x.operands
    if others and isinstance(x, Deferred):
        return Operand(x.cast(quantizer, relu=False))
    return dataclasses.replace(first, cast=(_point(quantizer), quantizer.spec))


def _point(quantizer: Quantizer) -> Tensor:
    return quantizer.frac.detach().to(torch.float32)


def _sum(operands: tuple[Operand, ...], part: slice) -> Tensor:
    """The sum of some samples in float64, a new tensor."""
    total = _value(operands[0], part)
    for operand in operands[1:]:
        total += _value(operand, part)
    return total


def _value(operand: Operand, part: slice) -> Tensor:
    """An operand in float64, a new tensor."""
    x = operand.x[part]
    if operand.affine is None:
        real = x.to(torch.float64)
    else:
        scale, offset = (per_channel(factor, x) for factor in operand.affine)
        real = (x * scale).add_(offset)
    return real if operand.cast is None else compute(real, *operand.cast)[0]
