"""Random graphs and models as hypothesis strategies, which shrink what fails. Only this module needs hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

from qfx.ir import Graph
from qfx.testing.graphs import random_graph
from qfx.testing.models import RandomModel, random_model

T = TypeVar("T")


class Drawn:
    """Decisions drawn by hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def pick(self, items: Sequence[T]) -> T:
        return self._draw(st.sampled_from(items))

    def chance(self, percent: int) -> bool:
        return self._draw(st.integers(0, 99)) >= 100 - percent


@st.composite
def graphs(draw: st.DrawFn, steps: int = 8) -> Graph:
    """Random graphs."""
    return random_graph(Drawn(draw), steps=steps)


@st.composite
def models(draw: st.DrawFn, steps: int = 6) -> RandomModel:
    """Random models."""
    return random_model(Drawn(draw), steps)
