"""Batch-normalisation statistics taken anew, for weights and formats that no longer move."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from qfx.annotations import explained
from qfx.checks import argument, whole
from qfx.errors import InputError
from qfx.nn.batch_norm import BatchNorm
from qfx.quant.kept_modes import modes_kept

LEAST_STEPS = 100
"""Batches after which running statistics have forgotten the formats before freezing."""


@explained
def freeze_statistics(model: nn.Module) -> int:
    """Put every batch normalisation into eval: it uses its running statistics and keeps them, as after `norm.eval()` in torch.

    Weights and biases go on learning. `model.train()` undoes it.

    Returns:
        how many there are.
    """
    norms = _norms(model)
    for norm in norms:
        norm.eval()
    return len(norms)


def _norms(model: nn.Module) -> list[BatchNorm]:
    return [module for module in model.modules() if isinstance(module, BatchNorm)]


@explained
def reestimate_statistics(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], steps: int = LEAST_STEPS) -> int:
    """Set every running mean and variance to its plain average over `steps` batches, taken as often as needed.

    Freezing a binary point on another integer than the last one, and weights that oscillate, leave statistics behind that no longer
    fit. Nothing else is changed; the model's mode stays, and so do the statistics of layers that are in eval while it trains.

    Args:
        batches: (input, label); iterated again from the start until there are enough.

    Returns:
        the number of batches used; 0 for a model without batch normalisation that trains.

    Raises:
        InputError: no batches, or fewer than 1 step.
    """
    steps = argument("reestimate_statistics", "steps", steps, whole(1))
    frozen = [module for module in model.modules() if model.training and not module.training]
    norms = [norm for norm in _norms(model) if norm not in frozen]
    if not norms:
        return 0
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # a plain average, which the first batch starts anew
        norm.num_batches_tracked.zero_()
    done = 0
    try:
        with modes_kept(model), torch.no_grad():
            model.train()
            for module in frozen:
                module.training = False
            while done < steps:
                before = done
                for x, _ in batches:
                    model(x)
                    done += 1
                    if done == steps:
                        break
                if done == before:
                    raise InputError("there are no batches to take statistics from")
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return done
