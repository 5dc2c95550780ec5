"""Random networks, and what compares engines on them: for tests of QFX, and of layers of your own.

| module | holds |
|---|---|
| `choices` | where random decisions come from: `Seeded` |
| `graphs` | random graphs over all ops, a maker per op; inputs for them |
| `branches` | random graphs whose branches meet again after different delays |
| `models` | random torch models; makers of steps can be added |
| `one_network` | many operands from one input, many results in one output: for one compilation of many networks |
| `differential` | a network through all engines; the smallest part of it that fails |
| `conformance` | one sample of an op through all engines |
| `projects` | graphs as C++ projects, with any folding |
| `iterations` | how often the loops of compiled C++ ran |
| `strategies` | graphs and models for hypothesis, which it needs |

What is exported here is public; the modules themselves are private. The random graphs need NumPy and the export; `random_model` and
what compares engines need torch and ONNX Runtime, too, and are loaded when they are first used. No module needs pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from qfx.testing.branches import branching
from qfx.testing.choices import Choices, Seeded
from qfx.testing.graphs import Unfit, makes, random_graph, random_inputs

if TYPE_CHECKING:
    from qfx.testing.conformance import check_sample
    from qfx.testing.differential import compare, compare_compiled, shorter_models, smaller
    from qfx.testing.models import MAKERS, random_model

__all__ = [
    "MAKERS",
    "Choices",
    "Seeded",
    "Unfit",
    "branching",
    "check_sample",
    "compare",
    "compare_compiled",
    "makes",
    "random_graph",
    "random_inputs",
    "random_model",
    "shorter_models",
    "smaller",
]

_HOMES = {
    "MAKERS": "models",
    "check_sample": "conformance",
    "compare": "differential",
    "compare_compiled": "differential",
    "random_model": "models",
    "shorter_models": "differential",
    "smaller": "differential",
}


def __getattr__(name: str) -> object:
    """What needs torch, found when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'qfx.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"qfx.testing.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """All that is public, loaded or not."""
    return sorted({*__all__, *globals()})
