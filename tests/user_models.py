"""What a user's module of models may look like; tests copy it beside themselves as `models.py`."""

from __future__ import annotations

import torch
from torch import nn

from qfx import nn as qnn
from qfx.fixed import FixedType
from qfx.quant import QuantSpec

WEIGHT = QuantSpec(5, frac=4, learn=False)
ACTIVATION = QuantSpec(4, signed=False, frac=2, learn=False)


def net() -> nn.Module:
    """A small network on raw 4-bit inputs (2, 5, 6)."""
    torch.manual_seed(0)
    return nn.Sequential(
        qnn.QuantInput(type=FixedType(False, 4, 2)),
        qnn.Conv2d(2, 3, 3, padding=1, bias=False, weight_spec=WEIGHT),
        qnn.ReLU(quant=ACTIVATION),
        nn.Flatten(),
        qnn.Linear(90, 4, weight_spec=WEIGHT, bias_spec=WEIGHT),
    )


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
