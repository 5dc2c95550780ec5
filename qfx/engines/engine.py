"""What an engine is: something that computes every value of a graph from its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qfx.fixed import IntArray
from qfx.sim.engine import Simulator

Values = Mapping[str, npt.NDArray[np.generic]]
"""Codes by value name, each (batch, *shape)."""


class Engine(Protocol):
    """Computes codes. Integers where the engine works on integers; floats (possibly off the grid) where it is torch."""

    @property
    def name(self) -> str:
        """Name on the command line and in reports."""
        ...

    def run(self, inputs: dict[str, IntArray]) -> Values:
        """Every input and computed value of the graph for one batch of input codes (batch, *shape)."""
        ...


class OutputSimulator(Simulator):
    """The simulator as it runs fastest: the graph's outputs, and no other value."""

    def run(self, inputs: Mapping[str, npt.NDArray[np.integer]], keep: frozenset[str] | None = None) -> dict[str, IntArray]:
        """The outputs, or the values to keep."""
        return super().run(inputs, frozenset(self.graph.outputs) if keep is None else keep)
