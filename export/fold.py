"""The folding search: the most frames per second within a budget, or a given rate at least cost.

For an interval of N cycles per frame every node takes the cheapest fold that is fast enough. What is cheap depends on what is
short: a DSP costs as many LUTs as it takes to fit the budget (a Lagrange multiplier, found by bisection), and so does a block
RAM. The least N whose design fits the budget is found by bisection over the intervals that some fold has exactly.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qfx.errors import ExportError
from qfx.export.cost import Resources, total
from qfx.export.hls.board import Board
from qfx.export.hls.folding import Fold
from qfx.export.hls.node_folds import Candidate, Candidates
from qfx.fixed import IntArray
from qfx.ir import Graph, Node

Floats = npt.NDArray[np.float64]

LUT_ERROR = 0.04
"""Relative error of the model's LUTs on arrays of multipliers, which it has not been fitted to (docs/results.md)."""

SHARES = {"lut": 0.8 / (1 + LUT_ERROR), "ff": 0.8, "dsp": 1.0, "bram18": 0.85, "lutram": 0.8}
"""Of the board's resources that a design may take, estimated."""

STEPS = 12
"""Of each bisection for the price of a DSP or a block RAM."""
MOST_LUTS_PER_DSP, MOST_LUTS_PER_BRAM = 1000.0, 4000.0
LEAST_LUTS_PER_BRAM = 10.0
"""A block RAM that saves less is not worth its place."""


@dataclass(frozen=True)
class Folded:
    """A folding and what it gives, estimated.

    Attributes:
        folding: of every node.
        interval: cycles from one frame to the next: those of the slowest stage.
        bottleneck: the node of that stage.
        resources: of all nodes.
        relief: what would make it faster.
    """

    folding: dict[str, Fold]
    interval: int
    bottleneck: str
    resources: Resources
    relief: str


@dataclass
class _Prices:
    """LUTs that one of each is worth."""

    dsp: float = 0.0
    bram18: float = 0.0

    def of(self, takes: Floats) -> Floats:
        """Args: takes: (candidate, lut, dsp, bram18, ff)."""
        return takes @ np.array([1.0, self.dsp, max(LEAST_LUTS_PER_BRAM, self.bram18), 0.05])


class _Frontier(list[Candidate]):
    """Those of a node of which none is as fast and takes no more of anything; the slowest first."""

    def __init__(self, found: list[Candidate]) -> None:
        found = sorted(found, key=lambda c: (-c.cycles, c.cost.lut))
        takes = np.array([(c.cost.lut, c.cost.dsp, c.cost.bram18, c.cost.ff) for c in found], np.float64)
        cycles = np.array([c.cycles for c in found])
        kept = [index for index in range(len(found)) if not _beaten(index, takes, cycles)]
        super().__init__(found[index] for index in kept)
        self._takes, self._slowness = takes[kept], -cycles[kept]

    def cheapest(self, interval: int, prices: _Prices) -> Candidate:
        """Of those that are fast enough; the slowest of equals."""
        start = int(np.searchsorted(self._slowness, -interval))
        return self[start + int(prices.of(self._takes[start:]).argmin())]


def _beaten(index: int, takes: Floats, cycles: IntArray) -> bool:
    no_more = (takes <= takes[index]).all(axis=1) & (cycles <= cycles[index])
    less = (takes < takes[index]).any(axis=1) | (cycles < cycles[index])
    less[:index] = True  # of equals the first stays
    return bool((no_more & less).any())


@dataclass
class Search:
    """The candidates of every node of a graph, with their cycles and costs.

    Args:
        products: by node name, how it multiplies (`dsp`, `lut`, `packed`); nodes that are not named take what is cheapest.
        shares: of the board's resources that may be taken.
        reserved: what else takes from these shares, such as FIFOs and converters.

    Raises:
        ExportError: a node name that the graph lacks, or a way to multiply that the node does not have.
    """

    graph: Graph
    board: Board
    products: Mapping[str, str] = field(default_factory=dict[str, str])
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    reserved: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        self.reserve(self.reserved)
        known = {node.name for node in self.graph.nodes}
        for name in self.products:
            if name not in known:
                raise ExportError(
                    f"the graph has no node {name!r}, for which products are asked; it has {', '.join(sorted(known))}"
                )
        candidates = Candidates(self.graph)
        self._candidates = {node.name: self._of(node, candidates) for node in self.graph.nodes}

    @property
    def budget(self) -> dict[str, int]:
        """What the nodes may take."""
        have = self.board.resources
        return {name: int(have[name] * share) - self._taken[name] for name, share in self.shares.items() if name in have}

    def reserve(self, reserved: Resources) -> None:
        """Take so much from the budget, instead of what was reserved before."""
        self._taken = reserved.rounded()

    def _of(self, node: Node, candidates: Candidates) -> _Frontier:
        wanted = self.products.get(node.name)
        found = list(candidates.folds(node))
        if wanted is not None:
            kinds = dict.fromkeys(fold.product for fold in found)
            found = [fold for fold in found if fold.product == wanted]
            if not found:
                raise ExportError(f"node {node.name!r} has no products in {wanted!r}; it has {', '.join(map(repr, kinds))}")
        elif any(fold.product for fold in found):
            found = [fold for fold in found if fold.product]  # what the tools would choose cannot be costed
        if any(fold.storage for fold in found):
            stored = {(fold.reads, fold.writes, fold.taps) for fold in found if fold.storage}
            found = [fold for fold in found if fold.storage or (fold.reads, fold.writes, fold.taps) not in stored]
        return _Frontier([candidates.of(node, fold) for fold in found])

    def intervals(self) -> list[int]:
        """Cycles per frame that some fold of some node has, from the least that all nodes can reach."""
        least = max(min(c.cycles for c in found) for found in self._candidates.values())
        return sorted({c.cycles for found in self._candidates.values() for c in found if c.cycles >= least})

    def fastest(self) -> Folded:
        """The least interval whose design fits the budget.

        Raises:
            ExportError: not even the slowest design fits; the message says what is short.
        """
        intervals = self.intervals()
        place = bisect.bisect_left(range(len(intervals)), True, key=lambda i: self._fitting(intervals[i]) is not None)
        if place == len(intervals):
            raise ExportError(
                f"graph {self.graph.name!r} does not fit board {self.board.name!r} at any rate: {self._lack(intervals[-1])}"
            )
        return self._folded(
            intervals[place],
            self._lack(intervals[place - 1]) if place else "every node that sets the rate has its fastest fold",
        )

    def at(self, interval: int) -> Folded:
        """The cheapest design with at most so many cycles per frame.

        Raises:
            ExportError: no fold is that fast, or what is that fast does not fit; the message says what is short.
        """
        least = self.intervals()[0]
        if interval < least:
            raise ExportError(
                f"graph {self.graph.name!r}: no folding takes {interval:,} cycles per frame; the fastest takes {least:,}"
            )
        if self._fitting(interval) is None:
            raise ExportError(
                f"graph {self.graph.name!r} does not fit board {self.board.name!r} at {interval:,} cycles: {self._lack(interval)}"
            )
        return self._folded(interval, "nothing faster was asked for")

    def _folded(self, interval: int, relief: str) -> Folded:
        chosen = self._fitting(interval)
        assert chosen is not None
        bottleneck = max(chosen, key=lambda name: chosen[name].cycles)
        return Folded(
            {name: c.fold for name, c in chosen.items()},
            chosen[bottleneck].cycles,
            bottleneck,
            total(c.cost for c in chosen.values()),
            relief,
        )

    def _fitting(self, interval: int) -> dict[str, Candidate] | None:
        """The cheapest candidates within the budget; None if there are none."""
        chosen = self._chosen(interval, self._prices(interval))
        self._spend(chosen, interval)
        return None if self._over(chosen) else chosen

    def _spend(self, chosen: dict[str, Candidate], interval: int) -> None:
        """Save LUTs with the DSPs and block RAMs that one price for all left over, those first that save most."""
        while True:
            taken = total(c.cost for c in chosen.values())
            left = {name: most - getattr(taken, name) for name, most in self.budget.items()}
            swaps = [
                (_worth(new.cost, chosen[name].cost), name, new)
                for name, found in self._candidates.items()
                for new in found
                if new.cycles <= interval and new.cost.lut < chosen[name].cost.lut and _fits(new.cost, chosen[name].cost, left)
            ]
            if not swaps:
                return
            _, name, new = max(swaps, key=lambda swap: swap[0])
            chosen[name] = new

    def _prices(self, interval: int) -> _Prices:
        """The least prices at which DSPs and block RAMs suffice, as far as that can be had."""
        prices = _Prices()
        for _ in range(2):  # each moves the other a little
            for name, most in (("dsp", MOST_LUTS_PER_DSP), ("bram18", MOST_LUTS_PER_BRAM)):
                low, high = 0.0, most
                for _ in range(STEPS):
                    middle = (low + high) / 2
                    setattr(prices, name, middle)
                    low, high = (middle, high) if name in self._over(self._chosen(interval, prices)) else (low, middle)
                setattr(prices, name, high)
        return prices

    def _chosen(self, interval: int, prices: _Prices) -> dict[str, Candidate]:
        return {name: found.cheapest(interval, prices) for name, found in self._candidates.items()}

    def _over(self, chosen: Mapping[str, Candidate]) -> dict[str, tuple[int, int]]:
        return total(c.cost for c in chosen.values()).exceeds(self.budget)

    def _lack(self, interval: int) -> str:
        """What a design of this interval is short of."""
        chosen = self._chosen(interval, self._prices(interval))
        self._spend(chosen, interval)
        over = self._over(chosen)
        taken = self._taken
        needs = [f"{need + taken[name]:,} {name} of {have + taken[name]:,}" for name, (need, have) in over.items()]
        return f"{interval:,} cycles would take {', '.join(needs)}"


def _worth(new: Resources, old: Resources) -> float:
    """LUTs saved for each share of DSPs and block RAMs."""
    return (old.lut - new.lut) / (1 + max(0.0, new.dsp - old.dsp) + max(0.0, new.bram18 - old.bram18))


def _fits(new: Resources, old: Resources, left: Mapping[str, float]) -> bool:
    """Whether there is enough left of everything but LUTs, which are what is saved."""
    return all(getattr(new, name) - getattr(old, name) <= max(0.0, room) for name, room in left.items() if name != "lut")
