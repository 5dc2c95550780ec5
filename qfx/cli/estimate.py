"""`qfx estimate`: resource usage and speed of a project's accelerator, estimated without a vendor's tool."""

from __future__ import annotations

from collections.abc import Mapping

from rich.markup import escape

from qfx.cli import console
from qfx.cli.exit_codes import AGREED, MISMATCH
from qfx.export.accelerator import with_folding
from qfx.export.cost.resources import NAMES
from qfx.export.estimate import Estimate
from qfx.export.hls.board import load_board
from qfx.export.hls.folding_file import read_folding
from qfx.files import File
from qfx.progress import step
from qfx.project import open_project
from qfx.project.inventory import JUDGED


def estimate_project(directory: File, clock_mhz: float | None = None, json: str | None = None, quiet: bool = False) -> int:
    """Print the estimated resource usage and speed of a project's accelerator; returns 0, or 1 if it does not fit its board."""
    console.check_json(json)
    with console.progress_bars(quiet) as progress:
        with step(progress, "read the project"):
            project = open_project(directory)
            board = load_board(project.manifest.board)
            clock = clock_mhz if clock_mhz is not None else 1000 / project.manifest.clock_ns
            folding, axi_bits = read_folding(project.path / JUDGED)
        with step(progress, "schedule the accelerator"):
            found = with_folding(project.graph, board, folding, clock, axi_bits).estimate
    if json is not None:
        console.write_json(found.to_json(), json)
    if not quiet:
        print_estimate(found, str(directory), console.err() if json == "-" else console.out())
    for name in project.changed:
        console.message(f"note: {name} differs from the manifest; the estimate is that of the graph and of folding.json")
    return MISMATCH if found.exceeded else AGREED


def print_estimate(estimate: Estimate, title: str, target: console.Console) -> None:
    """A row per stage, the sum beside what the board has, and the speed."""
    columns = ("PE", "SIMD", "product", "cycles", "LUT", "FF", "DSP", "BRAM18", "LUTRAM")
    shown = console.table(f"{escape(title)}: estimated", "stage", "kind", *columns, numbers=len(columns), dense=True)
    shown.caption = f"{console.MARK} decides the rate"
    for stage in estimate.stages:
        folded = ("" if count is None else f"{count:,}" for count in (stage.pe, stage.simd))
        name = console.named(stage.name, stage.name == estimate.bottleneck.name)
        shown.add_row(name, stage.kind, *folded, stage.product, f"{stage.cycles:,}", *_counts(stage.all.rounded()))
    shown.add_section()
    whole, have = estimate.resources.rounded(), estimate.board.resources
    shown.add_row("total", "", "", "", "", f"{estimate.cycles_per_frame:,}", *_counts(whole))
    shares = ("" if not have.get(name) else f"{whole[name] / have[name]:.0%}" for name in NAMES)
    shown.add_row(f"of {estimate.board.name}", "", "", "", "", "", *shares)
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
    return f"estimated: {interval}; {rate}; the first takes {estimate.latency_us:,.1f} us; {memory}"


def _counts(resources: Mapping[str, int]) -> list[str]:
    return [f"{resources[name]:,}" for name in NAMES]
