"""The accelerator that a command is about: options to fold with, the estimate of a project, its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from qfx import console
from qfx.errors import UsageError
from qfx.export.accelerator import Accelerator, fastest, with_folding
from qfx.export.cost.resources import NAMES
from qfx.export.estimate import Estimate
from qfx.export.hls.board import load_board
from qfx.export.hls.folding_file import read_folding
from qfx.ir import Graph
from qfx.ir.passes.k_hot import multiplier_free, with_khot
from qfx.project import JUDGED, load_project

FOLDINGS = ("fastest", "plain")
PRODUCTS = ("dsp", "packed", "lut", "khot")


@dataclass(frozen=True)
class HardwareOptions:
    """What a user asks of an accelerator.

    Attributes:
        board: a folder name in `boards/`.
        clock_mhz: None for the board's.
        folding: `fastest`, or `plain` for words of up to 8 codes everywhere.
        fps: frames per second that are enough; None for as many as fit.
        products: `NODE=KIND`, how the node multiplies.
        multiplier_free: make every product of shifts and additions.
        axi_bits: of a beat of the AXI streams.
    """

    board: str = "ultra96"
    clock_mhz: float | None = None
    folding: str = "fastest"
    fps: float | None = None
    products: Sequence[str] = ()
    multiplier_free: bool = False
    axi_bits: int = 64


def build(graph: Graph, options: HardwareOptions) -> Accelerator:
    """The accelerator that is asked for, of the graph with the products that are asked for.

    Raises:
        UsageError: options that are unknown or contradict each other.
        ExportError: the accelerator cannot be had; the message says why.
    """
    board, products = load_board(options.board), _products(options.products)
    if options.folding not in FOLDINGS:
        raise UsageError(f"there is no folding {options.folding!r}; choose {' or '.join(FOLDINGS)}")
    if options.folding == "plain" and (options.fps is not None or any(kind != "khot" for kind in products.values())):
        raise UsageError("--folding plain searches nothing: leave out --fps and --product, or take --folding fastest")
    if options.multiplier_free and any(kind != "khot" for kind in products.values()):
        raise UsageError("--multiplier-free allows no --product but khot")
    graph = with_khot(graph, [name for name, kind in products.items() if kind == "khot"])
    if options.multiplier_free:
        graph = multiplier_free(graph)
    if options.folding == "plain":
        return with_folding(graph, board, None, options.clock_mhz, options.axi_bits)
    others = {name: kind for name, kind in products.items() if kind != "khot"}
    rate, clock = options.fps, options.clock_mhz
    return fastest(graph, board, fps=rate, clock_mhz=clock, products=others, axi_bits=options.axi_bits)


def _products(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in given:
        name, _, kind = item.rpartition("=")
        if not name or kind not in PRODUCTS:
            raise UsageError(f"--product wants NODE=KIND with a kind of {', '.join(PRODUCTS)}, not {item!r}")
        found[name] = kind
    return found


def estimate_project(directory: Path, clock_mhz: float | None, json: str | None, quiet: bool) -> int:
    """Print what a project's accelerator takes and how fast it is, by the model; returns 0, or 1 if it does not fit its board."""
    project = load_project(directory)
    board = load_board(project.manifest.board)
    clock = clock_mhz if clock_mhz is not None else 1000 / project.manifest.clock_ns
    folding, axi_bits = read_folding(project.path / JUDGED)
    found = with_folding(project.graph, board, folding, clock, axi_bits).estimate
    if json is not None:
        console.write_json(found.to_json(), json)
    if not quiet:
        print_estimate(found, str(directory), console.err() if json == "-" else console.out())
    for name in project.changed:
        console.message(f"note: {name} differs from the manifest; the estimate is that of the graph and of folding.json")
    return 1 if found.exceeded else 0


def print_estimate(estimate: Estimate, title: str, target: console.Console) -> None:
    """A row per stage, the sum beside what the board has, and the speed."""
    columns = ("cycles", "LUT", "FF", "DSP", "BRAM18", "LUTRAM")
    shown = console.table(f"{escape(title)}: by the model", "stage", "kind", *columns, numbers=len(columns))
    for stage in estimate.stages:
        shown.add_row(escape(stage.name), stage.kind, f"{stage.cycles:,}", *_counts(stage.all.rounded()))
    shown.add_section()
    whole, have = estimate.resources.rounded(), estimate.board.resources
    shown.add_row("total", "", f"{estimate.cycles_per_frame:,}", *_counts(whole))
    shares = ("" if not have.get(name) else f"{whole[name] / have[name]:.0%}" for name in NAMES)
    shown.add_row(f"of {estimate.board.name}", "", "", *shares)
    target.print(shown)
    target.print(summary(estimate), markup=False)
    if estimate.exceeded:
        needs = ", ".join(f"{need:,} {name} of {there:,}" for name, (need, there) in estimate.exceeded.items())
        target.print(f"does not fit {estimate.board.title}: {needs}", markup=False)
    for reason in sorted(estimate.resources.uncertain):
        target.print(f"uncertain: {reason}", markup=False)


def summary(estimate: Estimate) -> str:
    """Speed in a line."""
    rate = f"{estimate.fps:,.0f} frames/s at {estimate.clock_mhz:g} MHz if timing closes"
    interval = f"a frame every {estimate.cycles_per_frame:,} cycles, decided by {estimate.bottleneck.name}"
    share = estimate.memory_mb_s / estimate.board.memory_mb_s
    memory = f"ports move {estimate.memory_mb_s:,.1f} MB/s, {share:.1%} of the memory's peak"
    return f"by the model: {interval}; {rate}; the first takes {estimate.latency_us:,.1f} us; {memory}"


def _counts(resources: Mapping[str, int]) -> list[str]:
    return [f"{resources[name]:,}" for name in NAMES]
