"""From a graph to the accelerator that a board can carry: folding, design, schedule and estimate, found together.

The search (`export/fold.py`) knows what nodes take. What lies between them, FIFOs, converters, forks and ports, is known once a
design exists. It is reserved, and the search goes on, until the whole design keeps to the shares of the board.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qfx.errors import ExportError
from qfx.export.cost.nodes import NodeCosts
from qfx.export.cost.resources import NAMES, Resources
from qfx.export.estimate import Estimate, estimate
from qfx.export.fold import SHARES, Folded, Search
from qfx.export.hls.board import Board
from qfx.export.hls.emit import Design, design
from qfx.export.hls.folding import Folding
from qfx.ir import Graph

ROUNDS = 6
"""Of searching and reserving."""


@dataclass(frozen=True)
class Accelerator:
    """A design and what it gives, by the model.

    Attributes:
        folding: of every node.
        relief: what would make it faster; empty for a folding that was given.
    """

    design: Design
    folding: Folding
    estimate: Estimate
    relief: str = ""

    @property
    def graph(self) -> Graph:
        """What it computes."""
        return self.design.wiring.graph


def with_folding(
    graph: Graph, board: Board, folding: Folding | None = None, clock_mhz: float | None = None, axi_bits: int = 64
) -> Accelerator:
    """The accelerator of a given folding; None for `plain_folding`.

    Raises:
        ExportError: a fold that does not fit its node, or a clock that the board cannot have.
    """
    plan = design(graph, folding, axi_bits)
    return Accelerator(plan, plan.wiring.folding, estimate(plan, board, clock_mhz))


def fastest(
    graph: Graph,
    board: Board,
    *,
    fps: float | None = None,
    clock_mhz: float | None = None,
    products: Mapping[str, str] | None = None,
    shares: Mapping[str, float] = SHARES,
    axi_bits: int = 64,
) -> Accelerator:
    """The accelerator with the most frames per second within shares of the board, or the cheapest with `fps`.

    Args:
        fps: frames per second that are enough; None for as many as fit.
        clock_mhz: None for the board's.
        products: by node name, how it multiplies: `dsp`, `packed` or `lut`. K-hot products are the graph's: see
            `qfx.ir.passes`.
        shares: of the board's resources that the design may take.
        axi_bits: of a beat of the AXI streams: 32, 64 or 128.

    Raises:
        ExportError: nothing fits, a rate that cannot be had, a clock that the board cannot have, or products that a node cannot
            have; the message says what is short.
    """
    clock = board.clock(clock_mhz)
    search = Search(graph, board, NodeCosts(graph), products or {}, shares)
    slowest = None if fps is None else _interval(fps, clock)
    budget = {name: int(board.resources[name] * share) for name, share in shares.items() if name in board.resources}
    needs = ""
    for _ in range(ROUNDS):
        folded = search.fastest() if slowest is None else search.at(slowest)
        found = with_folding(graph, board, folded.folding, clock, axi_bits)
        if not found.estimate.resources.exceeds(budget):
            return replace(found, relief=folded.relief)
        needs = _needs(found.estimate, budget)
        search.reserve(_beside(found.estimate, folded))
    raise ExportError(
        f"graph {graph.name!r} does not fit board {board.name!r}: what lies between the stages takes more with every folding tried;"
        f" the last one needs {needs}"
    )


def _interval(fps: float, clock_mhz: float) -> int:
    interval = int(clock_mhz * 1e6 / fps) if fps > 0 else 0
    if interval < 1:
        raise ExportError(f"{fps:g} frames per second is no rate at {clock_mhz:g} MHz; give more than 0 and at most the clock")
    return interval


def _beside(estimate: Estimate, folded: Folded) -> Resources:
    """What the design takes beside its nodes."""
    whole, nodes = estimate.resources, folded.resources
    return replace(Resources(), **{name: max(0.0, getattr(whole, name) - getattr(nodes, name)) for name in NAMES})


def _needs(estimate: Estimate, budget: Mapping[str, int]) -> str:
    over = estimate.resources.exceeds(budget)
    return ", ".join(f"{need:,} {name} of {have:,}" for name, (need, have) in over.items())
