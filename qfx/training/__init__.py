"""Training: optimizer groups, freezing of binary points and weights, a small loop, phases, recipes, watching."""

from qfx.training.freezing import BinaryPointFreezer
from qfx.training.groups import parameter_groups
from qfx.training.history import History
from qfx.training.loop import accuracy, fit
from qfx.training.oscillation import OscillationFreezer
from qfx.training.phases import fit_phases
from qfx.training.recipe import Phase, Recipe
from qfx.training.sparsity import digit_penalty, mean_digits
from qfx.training.statistics import freeze_statistics, reestimate_statistics
from qfx.training.watch import CsvWriter, JsonLinesWriter, TensorBoardWriter, Watcher

__all__ = [
    "BinaryPointFreezer",
    "CsvWriter",
    "History",
    "JsonLinesWriter",
    "OscillationFreezer",
    "Phase",
    "Recipe",
    "TensorBoardWriter",
    "Watcher",
    "accuracy",
    "digit_penalty",
    "fit",
    "fit_phases",
    "freeze_statistics",
    "mean_digits",
    "parameter_groups",
    "reestimate_statistics",
]
