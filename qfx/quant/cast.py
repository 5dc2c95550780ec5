"""The cast with a learnable binary point, forward and straight-through backward in one place.

    q = overflow(R(x * 2**f)) * 2**-f,    f = round(frac), taken straight through

              R(x * 2**f) inside the range     outside, saturated     outside, wrapped
    dq/dx     1                                0                      0
    dq/df     ln2 * (x - q)                    -ln2 * q               0

"Wrapped" are AP_WRAP and AP_WRAP_SM: what wraps says nothing about where the binary point should go, so neither x nor f is
moved by it. R is a rounding mode or the K-hot projection. The formula is that of LSQ and TQT in the variable f = -log2(step).
Overflow terms are 10 to 1000 times larger than the others: give f an optimizer group of its own (`qfx.training`).

Several ways compute it, with the same bits in the forward: the kernel, where it serves; for AP_RND and AP_SAT on a GPU the fused
kernels of `qfx.quant.fused`, else `saturate` with a backward of a few passes; and `quantize`, which knows every mode and keeps a
mask.
"""

from __future__ import annotations

import math
import typing
from typing import Any

import torch
from torch import Tensor

from qfx.fixed import Overflow, Rounding
from qfx.quant import fused, kernel
from qfx.quant.khot import project_k_hot
from qfx.quant.rounding import exp2, handle_overflow, round_to_integer
from qfx.quant.spec import MAX_FRAC, QuantSpec
from qfx.quant.tracing import traced_by_jit, unseen

LN2 = math.log(2.0)
WRAPPING = (Overflow.WRAP, Overflow.WRAP_SM)
BELOW_HALF = {torch.float32: 0.5 - 2.0**-25, torch.float64: 0.5 - 2.0**-54}
"""The largest number below a half."""
MINUS_HALF = {torch.float32: -0.5 - 2.0**-24, torch.float64: -0.5 - 2.0**-53}
"""The largest number below minus a half."""

Factor = Tensor | float


def integer_frac(frac: Tensor) -> Tensor:
    """The binary point in use for a real one: nearest (ties up), within the legal range; int64."""
    frac = frac.detach()
    floor = torch.floor(frac)
    return (floor + (frac - floor >= 0.5).to(floor.dtype)).clamp(-MAX_FRAC, MAX_FRAC).nan_to_num(0).to(torch.int64)


def merges_relu(spec: QuantSpec) -> bool:
    """Whether a ReLU before this cast costs nothing, since the range begins at zero and negative values have no other code."""
    return not spec.signed and _is_plain(spec)


def _is_plain(spec: QuantSpec) -> bool:
    return spec.k_hot is None and spec.rounding is Rounding.RND and spec.overflow is Overflow.SAT


def quantize(x: Tensor, frac: Tensor, spec: QuantSpec) -> tuple[Tensor, Tensor]:
    """The quantized value and where the rounded code lay inside the range.

    Args:
        x: float32 or float64; per channel, the channel is axis 0.
        frac: int64, a scalar or (channels,).
    """
    return _quantize(x, *_scale_and_step(frac, x), spec)


def _quantize(x: Tensor, scale: Factor, step: Factor, spec: QuantSpec) -> tuple[Tensor, Tensor]:
    scaled = x * scale
    type = spec.type(0)
    if spec.k_hot is not None:
        codes, inside = project_k_hot(scaled, spec.k_hot, type, spec.max_exponent)
    else:
        rounded = round_to_integer(scaled, spec.rounding)
        codes = handle_overflow(rounded, scaled, type, spec.overflow)
        inside = codes == rounded
    return codes * step, inside


def saturate(x: Tensor, scale: Factor, step: Factor, spec: QuantSpec) -> Tensor:
    """`quantize` without the mask, for AP_RND and AP_SAT, in as few passes over memory as torch can.

    signed      ceil(floor(2 x) / 2)
    unsigned    floor(x + h), h the largest number below a half, as x + 1/2 rounds 0.49999997 up; it errs below zero, where the
                range begins
    """
    type = spec.type(0)
    wide = x * (scale * 2) if spec.signed else x * scale
    codes = wide.floor_().mul_(0.5).ceil_() if spec.signed else wide.add_(BELOW_HALF[x.dtype]).floor_()
    return codes.clamp_(type.min_int, type.max_int).mul_(step)


def _scale_and_step(frac: Tensor, x: Tensor) -> tuple[Factor, Factor]:
    """`2**frac` and `2**-frac`, exact, in shapes that broadcast over x."""
    if frac.dim():
        frac = frac.view(-1, *[1] * (x.dim() - 1))
    return exp2(frac, x.dtype), exp2(-frac, x.dtype)


def _factors(frac: Tensor, x: Tensor) -> tuple[Factor, Factor]:
    """`_scale_and_step` of the integer nearest to the real `frac`."""
    if frac.dim() == 0 and frac.device.type == "cpu" and x.dtype in BELOW_HALF and not torch.compiler.is_compiling():
        with unseen():
            real = float(frac.detach())  # a number is much faster than a tensor of one, and waits for no other device
        if math.isfinite(real):
            nearest = math.floor(real) + int(real - math.floor(real) >= 0.5)
            nearest = min(max(nearest, -MAX_FRAC), MAX_FRAC)
            return math.ldexp(1.0, nearest), math.ldexp(1.0, -nearest)
    return _scale_and_step(integer_frac(frac), x)


def _tensors(scale: Factor, step: Factor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The factors on the device of x; a tensor there reads nothing back."""
    return torch.as_tensor(scale, dtype=x.dtype, device=x.device), torch.as_tensor(step, dtype=x.dtype, device=x.device)


def _fuses(x: Tensor) -> bool:
    return kernel.enabled() and fused.serves(x, agrees)


def agrees(device: torch.device) -> bool:
    """Whether the fused kernels on this device give the bits of torch's operations there, forward and backward."""
    for dtype, signed, relu in ((torch.float32, True, False), (torch.float64, False, True), (torch.float32, False, True)):
        spec = QuantSpec(4, signed)
        x = torch.arange(-4096, 4096, dtype=dtype, device=device) / 512
        x = torch.cat([x, torch.nextafter(x, x + 1), torch.nextafter(x, x - 1)])
        factors = _tensors(*_scale_and_step(torch.tensor(1, device=device), x), x)
        type = spec.type(0)
        wanted, inside = _quantize(x.relu() if relu else x, *factors, spec)
        dx, shares = fused.backward(torch.ones_like(x), x, *factors, type.min_int, type.max_int, relu)
        expected = torch.where(inside, x.relu() if relu else x, 0) - wanted
        same = [fused.cast(x, *factors, type.min_int, type.max_int) == wanted, shares == expected]
        same.append(dx == (inside & ((x > 0) | (not relu))).to(dtype))
        if not all(bool(part.all()) for part in same):
            return False
    return True


def compute(
    x: Tensor, frac: Tensor, spec: QuantSpec, relu: bool = False, narrow: bool = False
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The quantized x, or with `relu` the quantized max(x, 0), and what `gradients` needs; no autograd.

    Args:
        x: float32 or float64, any shape; per channel, the channel is axis 0.
        frac: real, a scalar or (channels,).
        relu: only where `merges_relu(spec)`.
        narrow: whether a float64 x may give a float32 result; for codes of up to 24 bits.
    """
    if kernel.serves_spec(spec) and kernel.serves(x):
        x = x.contiguous() if frac.dim() else kernel.dense(x)
        points = frac.detach().to(x.dtype).contiguous()
        return kernel.cast(x, points, spec, relu, narrow), (x, points)
    scale, step = _factors(frac, x)
    if _is_plain(spec) and _fuses(x):
        type = spec.type(0)
        q = fused.cast(x, *_tensors(scale, step, x), type.min_int, type.max_int)
        return q.to(torch.float32) if narrow else q, (x, frac)
    if _is_plain(spec):
        q = saturate(x, scale, step, spec)
        saved = (x, frac, q)
    else:
        q, inside = _quantize(x, scale, step, spec)
        saved = (x, frac, q, inside)
    return q.to(torch.float32) if narrow else q, saved


def gradients(grad: Tensor, saved: tuple[Tensor, ...], spec: QuantSpec, relu: bool = False) -> tuple[Tensor, Tensor]:
    """Gradients of x and frac from that of the result, by the module's table; with `spec.scale_gradient` frac's is divided.

    Args:
        saved: of `compute`.
    """
    dx, dfrac = _gradients(grad.to(saved[0].dtype), saved, spec, relu)
    if spec.scale_gradient:
        values = saved[0].numel() // max(1, dfrac.numel())
        dfrac = dfrac / math.sqrt(max(1, values * spec.largest))
    return dx, dfrac


def _gradients(grad: Tensor, saved: tuple[Tensor, ...], spec: QuantSpec, relu: bool) -> tuple[Tensor, Tensor]:
    x, frac = saved[:2]
    if len(saved) == 2 and x.device.type != "cpu":
        type, factors = spec.type(0), _tensors(*_factors(frac, x), x)
        dx, shares = fused.backward(grad, x, *factors, type.min_int, type.max_int, relu)
        return dx, (shares.reshape(len(frac), -1).sum(1) if frac.dim() else shares.sum()) * LN2
    if len(saved) == 2:
        return kernel.cast_backward(kernel.like(grad, x), x, frac, spec, relu)
    q = saved[2]
    error = x - q
    if len(saved) == 3:
        dx = _grad_inside(grad, error, *_factors(frac, x))
        if relu:
            dx = torch.ops.aten.threshold_backward(dx, x, 0)
        outside = grad - dx
    else:
        dx = grad * saved[3].to(grad.dtype)
        outside = torch.zeros_like(grad) if spec.overflow in WRAPPING else grad - dx
    if frac.dim():
        dfrac = (dx * error - outside * q).reshape(len(frac), -1).sum(1)
    else:
        dfrac = torch.dot(dx.reshape(-1), error.reshape(-1)) - torch.dot(outside.reshape(-1), q.reshape(-1))
    return dx, dfrac * LN2


def _grad_inside(grad: Tensor, error: Tensor, scale: Factor, step: Factor) -> Tensor:
    """`grad` where the rounding error lies in [-1/2, 1/2) of a step, as it does inside the range only; else 0.

    The error x - q is exact there. What is outside lies half a step beyond the end, or more.
    """
    if isinstance(scale, Tensor) or isinstance(step, Tensor):
        error, step = error * scale, 1.0
    low, high = MINUS_HALF[error.dtype] * step, 0.5 * step  # both excluded
    return torch.ops.aten.hardtanh_backward(grad, error, low, high)


class FixedPointCast(torch.autograd.Function):
    """`apply(x, frac, spec, relu, narrow)`: see the module's table, and `compute`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frac: Tensor, spec: QuantSpec, relu: bool, narrow: bool) -> Tensor:
        q, saved = compute(x, frac, spec, relu, narrow)
        ctx.save_for_backward(*saved)
        ctx.spec, ctx.relu, ctx.frac_dtype = spec, relu, frac.dtype
        return q

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        dx, dfrac = gradients(grad_outputs[0], ctx.saved_tensors, ctx.spec, ctx.relu)
        wants_x, wants_frac = ctx.needs_input_grad[:2]
        return dx if wants_x else None, dfrac.to(ctx.frac_dtype) if wants_frac else None, None, None, None

    @classmethod
    def cast(cls, x: Tensor, frac: Tensor, spec: QuantSpec, relu: bool = False, narrow: bool = False) -> Tensor:
        """`x` in the format `spec` at the real binary point `frac`; see `compute`."""
        if not torch.is_grad_enabled() or traced_by_jit():  # a trace has no gradients of its own making
            return compute(x, frac, spec, relu, narrow)[0]
        return typing.cast(Tensor, cls.apply(x, frac, spec, relu, narrow))
