"""A small training loop for classifiers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from qfx.annotations import explained
from qfx.arguments import function, instance, shown
from qfx.checks import argument, whole
from qfx.errors import InputError, TrainingError
from qfx.frontend.given import check_network
from qfx.training.freezing import BinaryPointFreezer
from qfx.training.groups import parameter_groups
from qfx.training.history import History
from qfx.training.oscillation import OscillationFreezer
from qfx.training.recipe import Recipe
from qfx.training.sparsity import digit_penalty
from qfx.training.statistics import LEAST_STEPS, freeze_statistics, reestimate_statistics

Progress = Callable[[int, int], None]
"""Called with the epochs done and the epochs in all."""


class Batches(Protocol):
    """What `fit` trains on; a torch DataLoader fits."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


@explained
def fit(model: nn.Module, data: Batches, recipe: Recipe, progress: Progress | None = None) -> History:
    """Train `model` on (input, label) batches and leave it in eval mode.

    Args:
        model: a float model (quantizers off) or a calibrated one.
        data: batches; iterated once per epoch.
        recipe: how.
        progress: called after each epoch.

    Returns:
        the mean loss of each epoch, and how often binary points have changed.

    Raises:
        InputError: no network, no recipe, no data, or batches that are no pairs of tensors.
        TrainingError: a loss that is no longer finite.
    """
    check_network(model)
    instance("the recipe", recipe, Recipe, "a qfx.Recipe is wanted, such as qfx.Recipe(epochs=10)")
    if progress is not None:
        function("progress", progress, "progress(epochs done, epochs)")
    given: Any = data
    if not isinstance(given, Sized) or not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping | Tensor):
        raise InputError(f"the data are {shown(given)}; a list of batches (input, label) is wanted, or a torch DataLoader")
    steps = recipe.epochs * len(data)
    if steps == 0:
        raise InputError(f"nothing to train on: {recipe.epochs} epochs of {len(data)} batches")
    window = max(1, steps // 8)
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe.lr, recipe.weight_decay, recipe.frac_lr))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _schedule(step, steps, len(data)))
    freezer = BinaryPointFreezer(model, window, recipe.hysteresis)
    weights = None if recipe.oscillation_threshold is None else OscillationFreezer(model, recipe.oscillation_threshold)
    freeze_at = math.ceil(recipe.freeze_after * steps) if recipe.freeze_after < 1 else -1
    keep_at = math.ceil(recipe.freeze_statistics * steps) if recipe.freeze_statistics < 1 else -1
    model.train()
    step, means = 0, list[float]()
    for epoch in range(recipe.epochs):
        losses: list[Tensor] = []
        for batch in data:
            x, y = _pair(batch)
            if step == keep_at:
                freeze_statistics(model)
            losses.append(train_step(model, optimizer, x, y, recipe))
            schedule.step()
            freezer.step()
            if weights is not None:
                weights.step()
            step += 1
            if step == freeze_at:
                freezer.freeze()
            elif recipe.freeze_early and step % window == 0:
                freezer.freeze_settled()
        means.append(_finite_mean(losses))
        if progress is not None:
            progress(epoch + 1, recipe.epochs)
    if freeze_at >= 0 and steps - freeze_at < LEAST_STEPS:
        reestimate_statistics(model, data)
    model.eval()
    return History(tuple(means), step, freezer.flips)


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    parts = cast("Sequence[Any]", batch) if isinstance(batch, list | tuple) else [batch]
    if len(parts) != 2 or not all(isinstance(part, Tensor) for part in parts):
        found = ", ".join(shown(part) for part in parts)
        raise InputError(f"a batch holds {found}; two tensors are wanted, the input (batch, ...) and the label (batch,)")
    return parts[0], parts[1]


@explained
def accuracy(model: nn.Module, x: Tensor, y: Tensor, batch: int = 256) -> float:
    """Part of the samples classified correctly, in percent; `batch` samples at a time.

    Raises:
        InputError: no samples, a batch of none, or inputs and labels that do not fit each other.
    """
    batch = argument("accuracy", "batch", batch, whole(1))
    if x.dim() == 0 or y.dim() != 1 or len(x) != len(y):
        shapes = f"{list(x.shape)} and {list(y.shape)}"
        raise InputError(f"accuracy wants inputs (samples, ...) and as many labels (samples,), not {shapes}")
    if len(y) == 0:
        raise InputError("accuracy of no samples means nothing; give one or more")
    model.eval()
    with torch.no_grad():
        starts = range(0, len(y), batch)
        hits = sum(int((model(x[i : i + batch]).argmax(1) == y[i : i + batch]).sum()) for i in starts)
    return 100.0 * hits / len(y)


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, recipe: Recipe) -> Tensor:
    """Forward, backward and the optimizer's step; returns the loss, which nothing has read yet."""
    optimizer.zero_grad(set_to_none=True)
    output: Any = model(x)
    loss = functional.cross_entropy(output, y, label_smoothing=recipe.label_smoothing)
    if recipe.digit_penalty:
        loss = loss + recipe.digit_penalty * digit_penalty(model)
    loss.backward()
    optimizer.step()
    return loss.detach()


def _finite_mean(losses: Sequence[Tensor]) -> float:
    """The mean loss of an epoch. Read once per epoch: an accelerator is not waited for in between."""
    found = torch.stack([*losses])
    if not bool(found.isfinite().all()):
        raise TrainingError("the loss is no longer finite; lower the learning rate")
    return float(found.mean())


def _schedule(step: int, steps: int, warm_up: int) -> float:
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
