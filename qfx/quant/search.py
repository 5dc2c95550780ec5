"""The binary point with the least squared error, by brute force over integers."""

from __future__ import annotations

import torch
from torch import Tensor

from qfx.quant.cast import quantize
from qfx.quant.spec import MAX_FRAC, QuantSpec

MOST_SAMPLES = 1 << 19
"""Elements looked at per search; larger tensors are sampled at a fixed stride."""


def best_frac(x: Tensor, spec: QuantSpec) -> Tensor:
    """The integer f with the least squared error of the cast.

    Candidates reach from the f at which the largest value fits twice over to the f at which only the step 2**-width of
    it fits. A tensor of zeros gets `width - 1`.

    Args:
        x: finite values; per channel, the channel is axis 0.

    Returns:
        int64, a scalar or (channels,).
    """
    rows = x.detach().to(torch.float64).flatten(1) if spec.per_channel else _sample(x.detach().to(torch.float64)).view(1, -1)
    largest = rows.abs().amax(1)
    magnitude_bits = spec.width - int(spec.signed)
    start = magnitude_bits - torch.frexp(largest)[1].to(torch.int64)
    best, least = start, torch.full_like(largest, torch.inf)
    for delta in range(-2, spec.width + 3):
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
