"""Training: optimizer groups, freezing of binary points, a small loop, recipes."""

from qfx.training.freezing import BinaryPointFreezer
from qfx.training.groups import parameter_groups
from qfx.training.loop import Recipe, accuracy, fit

__all__ = ["BinaryPointFreezer", "Recipe", "accuracy", "fit", "parameter_groups"]
