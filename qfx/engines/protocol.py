"""What an engine is: something that computes every value of a graph from its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qfx.fixed import IntArray

Values = Mapping[str, npt.NDArray[np.generic]]
"""Codes by value name, each (batch, *shape)."""


@dataclass(frozen=True)
class Extent:
    """What an engine has values of, where it is not every layer and every sample, as of recorded values.

    Attributes:
        outputs_only: of the network's outputs, else of every layer.
        samples: of so many, the first ones; None for all.
    """

    outputs_only: bool = False
    samples: int | None = None


WHOLE = Extent()
"""Every layer and every sample."""


class Engine(Protocol):
    """Computes codes. Integers where the engine works on integers; floats (possibly off the grid) where it is torch."""

    @property
    def name(self) -> str:
        """Name on the command line and in reports."""
        ...

    def run(self, inputs: dict[str, IntArray]) -> Values:
        """Every input and computed value of the graph for one batch of input codes (batch, *shape)."""
        ...
