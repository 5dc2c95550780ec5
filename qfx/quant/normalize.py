"""Batch normalisation in training as one step: statistics, quantized scale and offset, and their gradients.

    mean, var = E[x], E[(x - mean)^2]                  per channel, over the batch
    scale  = weight * r,    r = 1 / sqrt(var + eps)    offset = bias - mean * scale
    y = Q(scale) * x + Q(offset)

Backward, with G = sum g and P = sum g * x per channel, N values in each, and the casts' gradients (qfx.quant.cast):

    d_scale, d_f = Q'(P),    d_offset, d_f' = Q'(G)
    d_bias = d_offset        d_scale -= d_offset * mean          d_mean = -d_offset * scale
    d_weight = d_scale * r   d_var = -d_scale * weight * r^3 / 2
    dx = Q(scale) * g + 2 d_var / N * x + (d_mean - 2 d_var * mean) / N

The same as the layer's separate steps, in fewer passes over memory. What is per channel is computed in float64.
"""

from __future__ import annotations

import typing
from typing import Any

import torch
from torch import Tensor

from qfx.quant import kernel
from qfx.quant.cast import compute, gradients
from qfx.quant.quantizer import Quantizer
from qfx.quant.tracing import check_followed


class NormalizeBatch(torch.autograd.Function):
    """`apply(x, weight, bias, scale_frac, offset_frac, eps, scale_spec, offset_spec)` -> y, and mean and var without gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
        scale_frac, offset_frac, eps, *specs = rest
        mean, var = statistics(x)
        inverse = torch.rsqrt(var + eps)
        scale = weight.to(torch.float64) * inverse
        offset = bias.to(torch.float64) - mean * scale
        slope, saved_scale = compute(scale.to(x.dtype), scale_frac, specs[0])
        shift, saved_offset = compute(offset.to(x.dtype), offset_frac, specs[1])
        ctx.save_for_backward(x, weight, mean, inverse, slope, *saved_scale, *saved_offset)
        ctx.specs, ctx.split = specs, len(saved_scale)
        mean32, var32 = mean.to(x.dtype), var.to(x.dtype)
        ctx.mark_non_differentiable(mean32, var32)
        return affine(x, slope, shift), mean32, var32

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse, slope, *saved = ctx.saved_tensors
        grad = grad_outputs[0]
        total, product = _sums(x, grad, mean, inverse)
        d_scale, d_scale_frac = gradients(product.to(x.dtype), tuple(saved[: ctx.split]), ctx.specs[0])
        d_offset, d_offset_frac = gradients(total.to(x.dtype), tuple(saved[ctx.split :]), ctx.specs[1])
        scale = weight.to(torch.float64) * inverse
        d_bias = d_offset.to(torch.float64)
        d_scale = d_scale.to(torch.float64) - d_bias * mean
        d_mean = -d_bias * scale
        count = x.numel() // len(mean)
        bend = -d_scale * scale * inverse.square() / count  # 2 d_var / N
        level = d_mean / count - bend * mean
        dx = _combine(x, bend.to(x.dtype), level.to(x.dtype), grad, slope)
        d_weight = (d_scale * inverse).to(weight.dtype)
        fracs = (d_scale_frac.to(weight.dtype), d_offset_frac.to(weight.dtype))
        return dx, d_weight, d_offset.to(weight.dtype), *fracs, None, None, None

    @classmethod
    def of(
        cls, x: Tensor, weight: Tensor, bias: Tensor, eps: float, scale: Quantizer, offset: Quantizer
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The normalised x, and mean and variance of the batch per channel."""
        check_followed(training=True)
        arguments = (x, weight, bias, scale.point(), offset.point(), eps, scale.spec, offset.spec)
        return typing.cast(tuple[Tensor, Tensor, Tensor], cls.apply(*arguments))


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance per channel (axis 1) in float64."""
    if kernel.serves(x):
        x = x.contiguous()
        first, second = kernel.channel_sums(x)
        count = x.numel() // x.shape[1]
        shift = first / count
        pivot = x[(0, slice(None), *[0] * (x.dim() - 2))]
        return pivot + shift, (second / count - shift.square()).clamp_(min=0)
    mean, var = torch.batch_norm_update_stats(x, None, None, 0.0)
    return mean.to(torch.float64), var.to(torch.float64)


def affine(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """scale * x + offset per channel (axis 1), in the wider of the dtypes of x and scale."""
    if not torch.is_grad_enabled():
        if kernel.serves(x, scale, offset):
            return kernel.affine(x.contiguous(), scale, offset)
        if x.dtype == torch.float32 and kernel.serves(x) and kernel.serves(scale, offset):
            return kernel.affine_widening(x.contiguous(), scale, offset)
    return (x * per_channel(scale, x)).add_(per_channel(offset, x))


def per_channel(x: Tensor, like: Tensor) -> Tensor:
    """(channel,) in a shape that broadcasts over `like` (batch, channel, ...)."""
    dims: int = like.dim()
    return x.reshape([-1] + [1] * (dims - 2))


def _sums(x: Tensor, grad: Tensor, mean: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Per channel the sums of grad and of grad * x, in float64."""
    if kernel.serves(x, grad):
        return kernel.channel_sums(x.contiguous(), grad.contiguous())
    wanted = [False, True, True]
    statistics = (mean.to(x.dtype), inverse.to(x.dtype))
    _, centred, total = torch.ops.aten.native_batch_norm_backward(
        grad.contiguous(), x, None, None, None, *statistics, True, 0.0, wanted
    )
    total = total.to(torch.float64)
    return total, centred.to(torch.float64) / inverse + mean * total


def _combine(x: Tensor, bend: Tensor, level: Tensor, grad: Tensor, slope: Tensor) -> Tensor:
    """bend * x + level + slope * grad."""
    if kernel.serves(x, grad):
        return kernel.affine(x.contiguous(), bend, level, grad.contiguous(), slope)
    return (x * per_channel(bend, x)).add_(per_channel(level, x)).addcmul_(grad, per_channel(slope, x))
