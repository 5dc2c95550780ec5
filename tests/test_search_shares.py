"""How much of a board the folding search may take: a part of it, in numbers, as docs/cost.md says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qfx.errors import ExportError
from qfx.export.fold import Search
from qfx.export.hls.board import load_board
from qfx.fixed import FixedType
from qfx.ir import Graph, GraphBuilder
from qfx.ops import Linear
from qfx.ops.sampling import constant

BOARD = load_board("ultra96")
S8 = FixedType(True, 8, 4)
LEAST = 29
"""Block RAMs of 18 Kbit that 256 * 256 weights of 8 bits take at least, in wide words."""


def layer() -> Graph:
    """A linear layer whose weights fit no LUTs of a small board."""
    build = GraphBuilder("layer")
    weight = constant("w", S8, (256, 256), 1)
    return build.build(build.add("y", Linear(), build.input("x", S8, (256,)), build.constant("w", S8, weight.codes)))


GRAPH = layer()


def search(**resources: int) -> Search:
    return Search(GRAPH, replace(BOARD, resources=BOARD.resources | {"lut": 5000} | resources))


def slowest(**resources: int) -> float:
    """Block RAMs of the slowest design."""
    found = search(**resources)
    return found.at(found.intervals()[-1]).resources.bram18


def test_a_design_takes_at_most_85_of_100_block_rams() -> None:
    assert slowest(bram18=35) == LEAST == int(35 * 0.85)
    assert slowest(bram18=45) <= 45 * 0.85
    with pytest.raises(ExportError, match=r"does not fit board 'ultra96' at .* cycles: .* would take .* lut of 3,846"):
        slowest(bram18=34)


@pytest.mark.parametrize(("name", "part"), [("lut", 0.8 / 1.04), ("ff", 0.8), ("dsp", 1.0), ("bram18", 0.85), ("lutram", 0.8)])
def test_the_budget_is_a_share_of_the_board(name: str, part: float) -> None:
    """Of LUTs, what a model that is off by 4 % may take so that 80 % are not exceeded."""
    assert search(**{name: 1000}).budget[name] == int(1000 * part)
