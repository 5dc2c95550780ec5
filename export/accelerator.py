"""From a graph to the accelerator that a board can carry: folding, design, schedule and estimate, found together.

The search (`export/fold.py`) knows what nodes take. What lies between them, FIFOs, converters, forks and ports, is known once a
design exists. It is reserved, and the search goes on, until the whole design keeps to the shares of the board.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypedDict

from qfx import checks, notebook
from qfx.annotations import explained
from qfx.arguments import instance
from qfx.checks import Check, keep
from qfx.errors import ExportError, InputError
from qfx.export.cost.resources import NAMES, Resources
from qfx.export.estimate import Estimate, estimate
from qfx.export.fold import SHARES, Folded, Search
from qfx.export.hls.board import Board, load_board
from qfx.export.hls.design import Design, design
from qfx.export.hls.folding import Folding
from qfx.ir import Graph
from qfx.ir.passes.k_hot import multiplier_free, with_khot

if TYPE_CHECKING:
    from typing_extensions import Unpack

ROUNDS = 6
"""Of searching and reserving."""


FOLDINGS = ("fastest", "plain")
PRODUCTS = ("dsp", "packed", "lut", "khot")
"""Ways to multiply that can be asked for."""


@dataclass(frozen=True, repr=False)
class Accelerator:
    """A design on a board: all that a project is written from, computed once.

    Attributes:
        design: stages, streams, folding and schedule.
        clock_mhz: one that the board can have.
        relief: what would make it faster; empty for a folding that was given.
    """

    design: Design
    board: Board
    clock_mhz: float
    relief: str = ""

    def __repr__(self) -> str:
        interval = self.design.schedule.interval
        rate = f"{self.clock_mhz * 1e6 / interval:,.0f} frames/s, a frame every {interval:,} cycles at {self.clock_mhz:g} MHz"
        return f"Accelerator({self.graph.name!r} on {self.board.name}: {rate}, estimated)"

    def _repr_html_(self) -> str:
        """For notebooks: cycles and resources of every stage, and their sums."""
        rows = [(stage.name, stage.kind, stage.cycles, *_counts(stage.all)) for stage in self.estimate.stages]
        rows.append(("total", "", self.estimate.cycles_per_frame, *_counts(self.estimate.resources)))
        return notebook.table(repr(self), ("stage", "kind", "cycles", *NAMES), rows)

    @property
    def graph(self) -> Graph:
        """What it computes."""
        return self.design.wiring.graph

    @property
    def folding(self) -> Folding:
        """Of every node."""
        return self.design.wiring.folding

    @property
    def clock_ns(self) -> float:
        """Period of the clock, to the picosecond."""
        return round(1000 / self.clock_mhz, 3)

    @cached_property
    def estimate(self) -> Estimate:
        """Resource usage and speed, estimated."""
        return estimate(self.design, self.board, self.clock_mhz)


@dataclass(frozen=True)
class AcceleratorOptions:
    """What is asked of an accelerator.

    Attributes:
        board: a folder name in `boards/`.
        clock_mhz: None for the board's.
        folding: `fastest`, or `plain` for words of up to 8 codes everywhere.
        fps: frames per second that are enough; None for as many as fit.
        products: by node name, how it multiplies: one of `PRODUCTS`.
        multiplier_free: make every product of shifts and additions.
        axi_bits: of a beat of the AXI streams: 32, 64 or 128.

    Raises:
        InputError: a value of another type, or a number that is not finite.
    """

    board: str = "ultra96"
    clock_mhz: float | None = None
    folding: str = "fastest"
    fps: float | None = None
    products: Mapping[str, str] = field(default_factory=dict[str, str])
    multiplier_free: bool = False
    axi_bits: int = 64

    def __post_init__(self) -> None:
        keep(self, "the accelerator", _OPTIONS)


_OPTIONS: Mapping[str, Check] = {
    **dict.fromkeys(("board", "folding"), checks.text),
    **dict.fromkeys(("clock_mhz", "fps"), checks.or_none(checks.number())),
    "products": checks.instance(Mapping),
    "multiplier_free": checks.flag,
    "axi_bits": checks.whole(),
}


class Options(TypedDict, total=False):
    """The fields of `AcceleratorOptions` as keywords."""

    board: str
    clock_mhz: float | None
    folding: str
    fps: float | None
    products: Mapping[str, str]
    multiplier_free: bool
    axi_bits: int


@explained
def accelerate(graph: Graph, options: AcceleratorOptions | None = None, **keywords: Unpack[Options]) -> Accelerator:
    """The accelerator that is asked for, of the graph with the products that are asked for.

    Args:
        graph: the network.
        options: what is asked; None for the Ultra96 and as many frames per second as fit it.
        keywords: fields of `AcceleratorOptions`, in place of those of `options`: `accelerate(graph, board="zcu104", fps=500)`.

    Raises:
        InputError: no graph, or options that are unknown or contradict each other.
        ExportError: the accelerator cannot be had; the message says why.
    """
    instance("the network", graph, Graph, "a qfx.Graph is wanted, as qfx.lower makes it")
    given = AcceleratorOptions() if options is None else options
    asked = replace(instance("options", given, AcceleratorOptions, "qfx.AcceleratorOptions(...) is wanted"), **keywords)
    board = load_board(asked.board)
    others = {name: kind for name, kind in asked.products.items() if kind != "khot"}
    _check(asked, others)
    graph = with_khot(graph, [name for name in asked.products if name not in others])
    if asked.multiplier_free:
        graph = multiplier_free(graph)
    if asked.folding == "plain":
        return with_folding(graph, board, None, asked.clock_mhz, asked.axi_bits)
    return fastest(graph, board, fps=asked.fps, clock_mhz=asked.clock_mhz, products=others, axi_bits=asked.axi_bits)


def _check(asked: AcceleratorOptions, others: Mapping[str, str]) -> None:
    for name, kind in asked.products.items():
        if kind not in PRODUCTS:
            raise InputError(f"a product is one of {', '.join(PRODUCTS)}, not {kind!r} as asked for node {name!r}")
    if asked.folding not in FOLDINGS:
        raise InputError(f"there is no folding {asked.folding!r}; choose {' or '.join(FOLDINGS)}")
    if asked.folding == "plain" and (asked.fps is not None or others):
        raise InputError("--folding plain searches nothing: leave out --fps and --product, or take --folding fastest")
    if asked.multiplier_free and others:
        raise InputError("--multiplier-free allows no --product but khot")


def with_folding(
    graph: Graph, board: Board, folding: Folding | None = None, clock_mhz: float | None = None, axi_bits: int = 64
) -> Accelerator:
    """The accelerator of a given folding; None for `plain_folding`.

    Raises:
        ExportError: a fold that does not fit its node, or a clock that the board cannot have.
    """
    return Accelerator(design(graph, folding, axi_bits), board, board.clock(clock_mhz))


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
    search = Search(graph, board, products or {}, shares)
    slowest = None if fps is None else _interval(fps, clock)
    budget = {name: int(board.resources[name] * share) for name, share in shares.items() if name in board.resources}
    needs = ""
    for _ in range(ROUNDS):
        folded = search.fastest() if slowest is None else search.at(slowest)
        found = Accelerator(design(graph, folded.folding, axi_bits), board, clock, folded.relief)
        if not found.estimate.resources.exceeds(budget):
            return found
        needs = _needs(found.estimate, budget)
        search.reserve(_beside(found.estimate, folded))
    raise ExportError(
        f"graph {graph.name!r} does not fit board {board.name!r}: what lies between the stages takes more with every folding tried;"
        f" the last one needs {needs}"
    )


def _counts(resources: Resources) -> list[int]:
    rounded = resources.rounded()
    return [rounded[name] for name in NAMES]


def _interval(fps: float, clock_mhz: float) -> int:
    interval = int(clock_mhz * 1e6 / checks.argument("the accelerator", "fps", fps, checks.number())) if fps > 0 else 0
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
