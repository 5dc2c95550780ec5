"""How to train, and in which phases. Every value is checked; a recipe can be kept in a TOML file, whose keys are the attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qfx import checks
from qfx.annotations import explained
from qfx.checks import Check, keep
from qfx.errors import ConfigError
from qfx.settings import read_toml
from qfx.training.groups import FRAC_LR


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over the data.
        lr: peak learning rate of AdamW; one epoch of warm-up, then a cosine to zero.
        weight_decay: of weights.
        frac_lr: peak learning rate of binary points.
        freeze_after: part of the steps after which binary points are frozen; 1 for never. If fewer than 100 steps are left, the
            statistics of batch normalisation are taken anew at the end.
        freeze_statistics: part of the steps after which batch normalisations use and keep their running statistics, weights and
            biases still learning; 1 for never.
        freeze_early: whether a binary point that has not changed for an eighth of the steps is frozen before that.
        hysteresis: how far a binary point has to be pushed beyond the middle between two integers; see `BinaryPointFreezer`.
        oscillation_threshold: frequency from which weights of few bits are frozen; None for never, see `OscillationFreezer`.
        digit_penalty: weight in the loss of the penalty on signed digits; see `digit_penalty`.
        label_smoothing: of the cross-entropy.

    Raises:
        ConfigError: a wrong value.
    """

    epochs: int
    lr: float = 1e-3
    weight_decay: float = 1e-4
    frac_lr: float = FRAC_LR
    freeze_after: float = 0.75
    freeze_statistics: float = 1.0
    freeze_early: bool = False
    hysteresis: float = 0.0
    oscillation_threshold: float | None = None
    digit_penalty: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        keep(self, "the recipe", _RECIPE, ConfigError)

    @classmethod
    @explained
    def read(cls, file: Path | str) -> Recipe:
        """The recipe in a TOML file.

        Raises:
            ConfigError: the file cannot be read, lacks `epochs`, or holds unknown or wrong entries.
        """
        return cls(**read_toml(file, "the recipe", _RECIPE, required=("epochs",)))


@dataclass(frozen=True)
class Phase:
    """One phase of a training from wider codes to narrower ones.

    Attributes:
        recipe: how to train.
        extra_bits: bits more for each format of at most 4 bits whose binary point is not given.
        extra_digits: digits more for each K-hot format; None for dense codes.

    Raises:
        ConfigError: a wrong value.
    """

    recipe: Recipe
    extra_bits: int = 0
    extra_digits: int | None = 0

    def __post_init__(self) -> None:
        keep(self, "the phase", _PHASE, ConfigError)


_RECIPE: Mapping[str, Check] = {
    "epochs": checks.whole(0),
    "lr": checks.number(0),
    "weight_decay": checks.number(0),
    "frac_lr": checks.number(0),
    "freeze_after": checks.number(0, 1),
    "freeze_statistics": checks.number(0, 1),
    "freeze_early": checks.flag,
    "hysteresis": checks.number(0),
    "oscillation_threshold": checks.or_none(checks.number(0, 1)),
    "digit_penalty": checks.number(0),
    "label_smoothing": checks.number(0, 1),
}
_PHASE: Mapping[str, Check] = {
    "recipe": checks.instance(Recipe),
    "extra_bits": checks.whole(0),
    "extra_digits": checks.or_none(checks.whole(0)),
}
