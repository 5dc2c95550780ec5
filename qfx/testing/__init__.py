"""Random networks, and what compares engines on them: for tests of QFX, and of layers of your own.

| module | holds |
|---|---|
| `choices` | where random decisions come from: `Seeded` |
| `graphs` | random graphs over all ops, a maker per op; inputs for them |
| `branches` | random graphs whose branches meet again after different delays |
| `models` | random torch models; makers of steps can be added |
| `differential` | a network through all engines; the smallest part of it that fails |
| `conformance` | one sample of an op through all engines |
| `projects` | graphs as C++ projects, with any folding |
| `iterations` | how often the loops of compiled C++ ran |
| `strategies` | graphs and models for hypothesis, which it needs |

What is exported here needs NumPy and the export; `models`, `differential` and `conformance` need torch and ONNX Runtime, too. No
module needs pytest.
"""

from qfx.testing.branches import branching
from qfx.testing.choices import Choices, Seeded
from qfx.testing.graphs import Unfit, makes, random_graph, random_inputs

__all__ = ["Choices", "Seeded", "Unfit", "branching", "makes", "random_graph", "random_inputs"]
