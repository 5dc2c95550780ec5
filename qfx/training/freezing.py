"""Freezing of binary points late in training.

A learned binary point tends to park between two integers and to flip between two grids while the weights settle. The freezer
watches which integers were in use lately and freezes each at the most used one.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor, nn

from qfx.quant import quantizers


class BinaryPointFreezer:
    """Watches the binary points of `model`.

    Args:
        model: the network in training; quantizers that do not learn or are switched off are left alone.
        window: optimizer steps that count as "lately".

    Attributes:
        flips: per quantizer path, how often a binary point in use has changed since the start.
    """

    def __init__(self, model: nn.Module, window: int = 200) -> None:
        self._quantizers = {path: q for path, q in quantizers(model).items() if q.spec.learn and q.enabled}
        self._recent: dict[str, deque[Tensor]] = {path: deque(maxlen=window) for path in self._quantizers}
        self.flips = dict.fromkeys(self._quantizers, 0)

    def step(self) -> None:
        """Look at the binary points; call it after each optimizer step."""
        for path, quantizer in self._quantizers.items():
            recent, now = self._recent[path], quantizer.fracs.clone()
            if recent:
                self.flips[path] += int((recent[-1] != now).sum())
            recent.append(now)

    def freeze(self) -> None:
        """Freeze every binary point at the integer most used lately; of equally used ones the one used last."""
        for path, quantizer in self._quantizers.items():
            recent = self._recent[path]
            quantizer.freeze(_most_used(torch.stack(list(recent))) if recent else None)


def _most_used(history: Tensor) -> Tensor:
    """Along axis 0 of (steps, ...) integers: the most frequent, of equals the latest."""
    counts = (history.unsqueeze(0) == history.unsqueeze(1)).sum(1)  # how often the entry of each step occurs
    best = counts.amax(0, keepdim=True)
    steps = torch.arange(len(history), device=history.device).view(-1, *[1] * (history.dim() - 1))
    last = torch.where(counts == best, steps, -1).argmax(0, keepdim=True)
    return history.gather(0, last)[0]
