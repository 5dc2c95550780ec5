"""Freezing of binary points late in training.

A learned binary point tends to park between two integers and to flip between two grids while the weights settle. The freezer
watches which integers were in use lately and freezes each at the most used one. Watching reads nothing back from an accelerator.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor, nn

from qfx.annotations import explained_init
from qfx.checks import argument, number, whole
from qfx.quant import quantizers
from qfx.quant.cast import integer_frac


@explained_init
class BinaryPointFreezer:
    """Watches the binary points of `model`.

    Args:
        model: the network in training; quantizers that do not learn or are switched off are left alone.
        window: optimizer steps that count as "lately".
        hysteresis: how far, in all, the optimizer has to push a binary point beyond the middle between two integers before the
            other one is used; 0 for no such limit. Until then it is held at the middle.
    """

    def __init__(self, model: nn.Module, window: int = 200, hysteresis: float = 0.0) -> None:
        self._quantizers = {path: q for path, q in quantizers(model).items() if q.spec.learn and q.enabled}
        self._sizes = [q.frac.numel() for q in self._quantizers.values()]
        self._recent: deque[Tensor] = deque(maxlen=argument("the freezer", "window", window, whole(1)))
        self._flips: Tensor | None = None
        self._pressure: Tensor | None = None
        self.hysteresis = argument("the freezer", "hysteresis", hysteresis, number(0))

    @property
    def flips(self) -> dict[str, int]:
        """Per quantizer path, how often a binary point in use has changed since the start."""
        if self._flips is None:
            return dict.fromkeys(self._quantizers, 0)
        return {path: int(part.sum()) for path, part in zip(self._quantizers, self._parts(self._flips), strict=True)}

    def _parts(self, values: Tensor) -> tuple[Tensor, ...]:
        """One part per quantizer."""
        return torch.split(values, self._sizes)

    def step(self) -> None:
        """Look at the binary points; call it after each optimizer step."""
        if not self._quantizers:
            return
        real = torch.cat([quantizer.frac.detach().reshape(-1) for quantizer in self._quantizers.values()])
        if self.hysteresis and self._recent:
            real = self._hold(real, self._recent[-1])
        now = integer_frac(real)
        if self._flips is None:
            self._flips = torch.zeros_like(now)
        elif self._recent:
            self._flips += now != self._recent[-1]
        self._recent.append(now)

    def _hold(self, real: Tensor, used: Tensor) -> Tensor:
        """Keep points at the middle that have not been pushed far enough beyond it."""
        least = used - 0.5
        most = torch.nextafter(used + 0.5, least)
        beyond = real - real.clamp(least, most)
        before = torch.zeros_like(beyond) if self._pressure is None else self._pressure
        pressure = torch.where(beyond * before < 0, beyond, before + beyond) * (beyond != 0)
        released = pressure.abs() > self.hysteresis
        self._pressure = torch.where(released, torch.zeros_like(pressure), pressure)
        held = torch.where(released, real, real - beyond)
        with torch.no_grad():
            for quantizer, part in zip(self._quantizers.values(), self._parts(held), strict=True):
                quantizer.frac.copy_(part.view_as(quantizer.frac))
        return held

    def freeze(self) -> None:
        """Freeze every binary point at the integer most used lately; of equally used ones the one used last."""
        if not self._recent:
            for quantizer in self._quantizers.values():
                quantizer.freeze()
            return
        parts = self._parts(_most_used(torch.stack(list(self._recent))))
        for quantizer, part in zip(self._quantizers.values(), parts, strict=True):
            if not quantizer.frozen:
                quantizer.freeze(part.view_as(quantizer.frac))

    def freeze_settled(self) -> list[str]:
        """Freeze the quantizers whose binary points have not changed in the whole window; returns the paths of all frozen ones.

        Reads from the device: call it now and then, not at every step.
        """
        if len(self._recent) == self._recent.maxlen:
            history = torch.stack(list(self._recent))
            settled = self._parts((history == history[-1]).all(0))
            for quantizer, part in zip(self._quantizers.values(), settled, strict=True):
                if not quantizer.frozen and bool(part.all()):
                    quantizer.freeze()
        return [path for path, quantizer in self._quantizers.items() if quantizer.frozen]


def _most_used(history: Tensor) -> Tensor:
    """Along axis 0 of (steps, ...) integers: the most frequent, of equals the latest."""
    counts = torch.stack([(history == row).sum(0) for row in history])  # how often the entry of each step occurs
    best = counts.amax(0, keepdim=True)
    steps = torch.arange(len(history), device=history.device).view(-1, *[1] * (history.dim() - 1))
    last = torch.where(counts == best, steps, -1).argmax(0, keepdim=True)
    return history.gather(0, last)[0]
