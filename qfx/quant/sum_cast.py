"""A sum with the cast after it as one step, for what eval computes together.

    Q(max(sum of Q_i(scale_i[c] * x_i + offset_i[c]), 0))        max only before a ReLU's cast; scale, offset and Q_i where given

Computed block by block in float64, which holds every step that float32 holds, and written in float32. Arithmetic and result are
those of the separate steps; what is saved are tensors in memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from qfx.quant import kernel
from qfx.quant.cast import compute
from qfx.quant.kernel import Operand
from qfx.quant.normalize import per_channel
from qfx.quant.quantizer import Quantizer

BLOCK = 1 << 16
"""Elements, about, that stay in a processor's cache while torch computes the steps one after the other."""

ALL = slice(None)


def operand(x: Tensor, affine: tuple[Tensor, Tensor] | None = None, quantizer: Quantizer | None = None) -> Operand:
    """One operand of a sum: a float32 `x` (batch, channel, ...), scaled and moved by `affine` (channel,), cast by `quantizer`."""
    factors = None if affine is None else (affine[0].to(torch.float64), affine[1].to(torch.float64))
    return Operand(x.contiguous(), factors, None if quantizer is None else (_point(quantizer), quantizer.spec))


def sum_cast(operands: Sequence[Operand], quantizer: Quantizer, relu: bool) -> Tensor:
    """The quantized sum, or with `relu` that of its positive part; float32, so the quantizer has at most 24 bits. No gradients.

    Shapes: operands (batch, channel, ...) -> the same.
    """
    first, spec, point = operands[0].x, quantizer.spec, _point(quantizer)
    known = all(operand.cast is None or kernel.serves_spec(operand.cast[1]) for operand in operands)
    if known and kernel.serves_spec(spec) and kernel.serves(*(operand.x for operand in operands)):
        return kernel.sum_cast(operands, point, spec, relu)
    result = torch.empty_like(first)
    on_cpu = first.device.type == "cpu"
    step = max(1, BLOCK // max(1, math.prod(first.shape[1:]))) if on_cpu else max(1, len(first))
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        wide = total(operands, part)
        result[part] = compute(wide.relu_() if relu else wide, point, spec)[0]
    return result


def total(operands: Sequence[Operand], part: slice = ALL) -> Tensor:
    """The sum, of some samples, in float64; a new tensor."""
    result = _value(operands[0], part)
    for operand in operands[1:]:
        result += _value(operand, part)
    return result


def _point(quantizer: Quantizer) -> Tensor:
    return quantizer.frac.detach().to(torch.float32)


def _value(operand: Operand, part: slice) -> Tensor:
    """An operand in float64, a new tensor."""
    x = operand.x[part]
    if operand.affine is None:
        real = x.to(torch.float64)
    else:
        scale, offset = (per_channel(factor, x) for factor in operand.affine)
        real = (x * scale).add_(offset)
    return real if operand.cast is None else compute(real, *operand.cast)[0]
