"""What a user's module of models may look like; tests copy it beside themselves as `models.py`."""

from __future__ import annotations

import torch
from torch import nn

from qfx import nn as qnn
from qfx.fixed import FixedType
from qfx.quant import QuantSpec

WEIGHT = QuantSpec(5, frac=4, learn=False)
ACTIVATION = QuantSpec(4, signed=False, frac=2, learn=False)


def net(weight: QuantSpec = WEIGHT) -> nn.Module:
    """A small network on raw 4-bit inputs (2, 5, 6)."""
    torch.manual_seed(0)
    return nn.Sequential(
        qnn.QuantInput(type=FixedType(False, 4, 2)),
        qnn.Conv2d(2, 3, 3, padding=1, bias=False, weight=weight),
        qnn.ReLU(output=ACTIVATION),
        nn.Flatten(),
        qnn.Linear(90, 4, weight=weight, bias=weight),
    )


def narrow() -> nn.Module:
    """The same with weights of 4 bits."""
    return net(QuantSpec(4, frac=3, learn=False))


class Pair(nn.Module):
    """An image (2, 5, 6) and three features; a result, a value that is used inside as well, and a branch of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.image_input = qnn.QuantInput(type=FixedType(False, 4, 2))
        self.side_input = qnn.QuantInput(type=FixedType(True, 7, 3))
        self.conv = qnn.Conv2d(2, 3, 3, padding=1, bias=False, weight=WEIGHT)
        self.relu = qnn.ReLU(output=ACTIVATION)
        self.head = qnn.Linear(90, 4, weight=WEIGHT, bias=WEIGHT)
        self.side_head = qnn.Linear(3, 4, weight=WEIGHT, bias=WEIGHT)
        self.pool = nn.MaxPool2d(2)

    def forward(self, image: torch.Tensor, side: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = self.relu(self.conv(self.image_input(image)))
        scores = self.head(torch.flatten(features, 1)) + self.side_head(self.side_input(side))
        return scores, features, self.pool(features)


def pair() -> nn.Module:
    """A network of two inputs and three outputs."""
    torch.manual_seed(0)
    return Pair()


def classifier() -> nn.Module:
    """The small network with a softmax behind it."""
    return nn.Sequential(*net().children(), nn.Softmax(dim=1))


def plain() -> nn.Module:
    """A torch network, which has no fixed-point meaning."""
    return nn.Sequential(nn.Flatten(), nn.Linear(60, 4))


def number() -> int:
    """No model."""
    return 3


def broken() -> nn.Module:
    """Fails."""
    raise KeyError("no such layer")


def leaves() -> nn.Module:
    """Ends the interpreter."""
    raise SystemExit("bye")
