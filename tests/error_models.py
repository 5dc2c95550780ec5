"""Models that export refuses, and one that it takes; tests copy this file beside themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qfx import nn as qnn
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.quant import QuantSpec

WEIGHT = QuantSpec(5, frac=4, learn=False)


class Net(nn.Module):
    """A linear layer on raw 4-bit inputs (6,)."""

    def __init__(self) -> None:
        super().__init__()
        self.given = qnn.QuantInput(type=FixedType(False, 4, 2))
        self.head = qnn.Linear(6, 3, weight=WEIGHT, bias=WEIGHT)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.given(x))


class Soft(Net):
    """Ends in an operation without a fixed-point form."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.erf(super().forward(x))


class Branching(Net):
    """What it computes depends on the data."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if bool(y.sum() > 0) else -y


class Looping(Net):
    """How often it loops depends on the data."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        for _ in range(int(y.max())):
            y = y + y
        return y


class Uncalibrated(Net):
    """A format that nobody has given."""

    def __init__(self) -> None:
        super().__init__()
        self.head = qnn.Linear(6, 3)


class Unverified(Net):
    """Casts in modes that an export takes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.acts = qnn.Quantize(QuantSpec(5, frac=1, learn=False, rounding=Rounding.RND_ZERO, overflow=Overflow.SAT_SYM))

    def forward(self, x: Tensor) -> Tensor:
        return self.acts(super().forward(x))


def unverified() -> nn.Module:
    return Unverified()


def net() -> nn.Module:
    return Net()


def soft() -> nn.Module:
    return Soft()


def branching() -> nn.Module:
    return Branching()


def looping() -> nn.Module:
    return Looping()


def uncalibrated() -> nn.Module:
    return Uncalibrated()
