"""The binary point with the least squared error, by brute force over integers."""

from __future__ import annotations

import torch
from torch import Tensor

from qfx.annotations import explained
from qfx.quant.cast import quantize
from qfx.quant.spec import MAX_FRAC, QuantSpec

MOST_SAMPLES = 1 << 19
"""Elements looked at per search; larger tensors are sampled at a fixed stride."""


@explained
def best_frac(x: Tensor, spec: QuantSpec) -> Tensor:
    """The integer f with the least squared error of the cast.

    Candidates reach from the f at which the largest value fits four times over to far beyond the f at which it is one step. A
    tensor without a value that the format could hold gets `width - 1`.

    Args:
        x: finite values; per channel, the channel is axis 0.

    Returns:
        int64, a scalar or (channels,).
    """
    x = x.detach().to(torch.float64)
    rows = x.reshape(len(x), -1) if spec.per_channel else _sample(x).view(1, -1)
    largest = _reachable(rows, spec).amax(1)
    start = spec.largest.bit_length() - torch.frexp(largest)[1].to(torch.int64)
    best, least = start, torch.full_like(largest, torch.inf)
    for delta in range(-2, spec.width + 8):
        frac = (start + delta).clamp(-MAX_FRAC, MAX_FRAC)
        error = (quantize(rows, frac, spec)[0] - rows).square().mean(1)
        best, least = torch.where(error < least, frac, best), torch.minimum(error, least)
    best = torch.where(largest == 0, torch.full_like(best, spec.width - 1), best)
    return best if spec.per_channel else best[0]


def _sample(x: Tensor) -> Tensor:
    flat = x.reshape(-1)
    if flat.numel() <= MOST_SAMPLES:
        return flat
    stride = flat.numel() // MOST_SAMPLES
    return flat[:: stride + 1 - stride % 2]  # odd, so that it walks through all channels and columns


def _reachable(x: Tensor, spec: QuantSpec) -> Tensor:
    """Magnitudes of the values on the sides of zero that the format has; one signed bit has no positive code."""
    if not spec.signed:
        return x.clamp(min=0)
    return (-x).clamp(min=0) if spec.width == 1 else x.abs()
