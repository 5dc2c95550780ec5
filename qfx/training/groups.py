"""Optimizer groups: weights, constants of element-wise layers, binary points."""

from __future__ import annotations

from typing import Any

from torch import nn

from qfx.annotations import explained
from qfx.checks import argument, number
from qfx.quant import Quantizer

FRAC_LR = 1e-2
"""Adam's step for binary points: its normalisation evens out that overflow gradients are up to 1000 times the others."""


@explained
def parameter_groups(
    model: nn.Module, lr: float = 1e-3, weight_decay: float = 1e-4, frac_lr: float = FRAC_LR
) -> list[dict[str, Any]]:
    """Groups for `torch.optim.AdamW`: each has `params`, `lr`, `weight_decay`, and a `name`.

        weights   tensors of two or more axes                                lr        weight_decay
        constants biases, batch normalisation, slopes                        lr        none
        fracs     binary points, learned and not frozen                      frac_lr   none

    Weight decay would pull a binary point to 0, which means nothing.

    Raises:
        InputError: a number below 0, or none.
    """
    rates = {"lr": lr, "weight_decay": weight_decay, "frac_lr": frac_lr}
    for name, value in rates.items():
        argument("parameter_groups", name, value, number(0))
    fracs = {id(module.frac) for module in model.modules() if isinstance(module, Quantizer)}
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    others = [parameter for parameter in learned if id(parameter) not in fracs]
    return [
        {"name": "weights", "params": [p for p in others if p.dim() > 1], "lr": lr, "weight_decay": weight_decay},
        {"name": "constants", "params": [p for p in others if p.dim() <= 1], "lr": lr, "weight_decay": 0.0},
        {"name": "fracs", "params": [p for p in learned if id(p) in fracs], "lr": frac_lr, "weight_decay": 0.0},
    ]
