"""The cast with a learnable binary point, forward and straight-through backward in one place.

    q = overflow(R(x * 2**f)) * 2**-f,    f = round(frac), taken straight through

              R(x * 2**f) inside the range     outside, saturated     outside, wrapped
    dq/dx     1                                0                      0
    dq/df     ln2 * (x - q)                    -ln2 * q               0

"Wrapped" are AP_WRAP and AP_WRAP_SM: what wraps says nothing about where the binary point should go, so neither x nor f is
moved by it. R is a rounding mode or the K-hot projection. The formula is that of LSQ and TQT in the variable f = -log2(step).
Overflow terms are 10 to 1000 times larger than the others: give f an optimizer group of its own (`qfx.training`).
"""

from __future__ import annotations

import math
import typing
from typing import Any

import torch
from torch import Tensor

from qfx.fixed import Overflow
from qfx.quant.khot import project_k_hot
from qfx.quant.rounding import exp2, handle_overflow, round_to_integer
from qfx.quant.spec import MAX_FRAC, QuantSpec

LN2 = math.log(2.0)
WRAPPING = (Overflow.WRAP, Overflow.WRAP_SM)


def integer_frac(frac: Tensor) -> Tensor:
    """The binary point in use for a real one: nearest (ties up), within the legal range; int64."""
    if frac.dim() == 0 and frac.device.type == "cpu":
        real = float(frac.detach())
        nearest = math.floor(real) + int(real - math.floor(real) >= 0.5)
        return torch.tensor(min(max(nearest, -MAX_FRAC), MAX_FRAC))
    floor = torch.floor(frac.detach())
    return (floor + (frac.detach() - floor >= 0.5).to(floor.dtype)).clamp(-MAX_FRAC, MAX_FRAC).to(torch.int64)


def quantize(x: Tensor, frac: Tensor, spec: QuantSpec) -> tuple[Tensor, Tensor]:
    """The quantized value and where the rounded code lay inside the range.

    Args:
        x: float32 or float64; per channel, the channel is axis 0.
        frac: int64, a scalar or (channels,).
    """
    scale, step = _scale_and_step(frac, x)
    scaled = x * scale
    type = spec.type(0)
    if spec.k_hot is not None:
        codes, inside = project_k_hot(scaled, spec.k_hot, type)
    else:
        rounded = round_to_integer(scaled, spec.rounding)
        codes = handle_overflow(rounded, scaled, type, spec.overflow)
        inside = codes == rounded
    return codes * step, inside


def _scale_and_step(frac: Tensor, x: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """`2**frac` and `2**-frac`, exact, in shapes that broadcast over x."""
    if frac.dim():
        frac = frac.view(-1, *[1] * (x.dim() - 1))
    elif frac.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
        return math.ldexp(1.0, int(frac)), math.ldexp(1.0, -int(frac))  # a number is much faster than a tensor of one
    return exp2(frac, x.dtype), exp2(-frac, x.dtype)


class FixedPointCast(torch.autograd.Function):
    """`apply(x, frac, spec)`: see the module's table."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frac: Tensor, spec: QuantSpec) -> Tensor:
        q, inside = quantize(x, integer_frac(frac), spec)
        ctx.save_for_backward(x, q, inside, frac)
        ctx.spec = spec
        return q

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, q, inside, frac = ctx.saved_tensors
        (grad,) = grad_outputs
        grad_x = grad * inside.to(grad.dtype) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return grad_x, None, None
        outside = torch.zeros_like(q) if ctx.spec.overflow in WRAPPING else -q
        terms = grad * torch.where(inside, x - q, outside) * LN2
        grad_frac = terms.reshape(len(terms), -1).sum(1) if frac.dim() else terms.sum()
        return grad_x, grad_frac.to(frac.dtype), None

    @classmethod
    def cast(cls, x: Tensor, frac: Tensor, spec: QuantSpec) -> Tensor:
        """`x` in the format `spec` at the real binary point `frac`."""
        return typing.cast(Tensor, cls.apply(x, frac, spec))
