"""`qfx demo`: train on handwritten digits, export two networks, compile and verify them, print one table."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from qfx.cli import console
from qfx.cli.estimate import summary
from qfx.engines.report import Report, totals
from qfx.errors import ProjectError
from qfx.export.accelerator import fastest
from qfx.export.estimate import Estimate
from qfx.export.hls.board import load_board
from qfx.files import File, new_directory, restore
from qfx.ir import Graph
from qfx.ops import Cost, Requantize
from qfx.progress import Progress, step
from qfx.project import write_project
from qfx.project.edits import kept_aside
from qfx.project.verification import verify
from qfx.project.write import tool_versions
from qfx.records import read_record, write_json, write_record

if TYPE_CHECKING:
    from qfx.training.arms import Arm

RUN = "run.json"
"""The manifest of a run directory."""
KIND, RUN_FORMAT = "qfx demo", 1

TARGET = 97.0
"""Percent of the test images that an exported network has to get right."""

PROJECTS = {"hls": "learned-4", "hls_khot": "multiplier-free"}
"""Project directory -> the arm exported to it."""

NAMES = {"hls": "digits", "hls_khot": "digits_khot"}

WRITTEN = {RUN, "checkpoints", "verify.json", "metrics.json", *PROJECTS}
"""All that lies in a run directory."""

_HEAD = f'{{\n "kind": "{KIND}"'.encode()
"""How its manifest begins."""

SHAPE = (1, 8, 8)
BOARD = "ultra96"
SEED = 0


@dataclass(frozen=True)
class _Run:
    """The manifest: what wrote the directory, of which format, and what is in it."""

    kind: str
    format: int
    seed: int
    projects: dict[str, str]
    created_by: dict[str, str]


@dataclass(frozen=True)
class ArmResult:
    """One arm of the table; the graph, the verification and the accelerator's estimate are None where there is none."""

    arm: Arm
    graph: Graph | None
    report: Report | None
    estimate: Estimate | None = None


def run_demo(out_dir: File, quiet: bool = False) -> int:
    """Train, export, compile, verify.

    Args:
        out_dir: the run directory; it appears when everything is done, and takes the place of a former run.
        quiet: print nothing but failures.

    Returns:
        0, or 1 if two engines differ anywhere or an exported network misses the accuracy target.

    Raises:
        ProjectError: `out_dir` holds something other than a former run.
        ToolMissingError: scikit-learn, a C++ compiler, the ap_types headers or onnxruntime is missing.
    """
    from qfx.sim.csim import require_tools

    require_tools()
    out_dir = Path(out_dir)
    start = time.monotonic()
    with new_run(out_dir) as folder, console.progress_bars(quiet) as progress:
        rows = _arms(folder, progress)
        reports = {name: row.report for name, arm in PROJECTS.items() for row in rows if row.arm.name == arm and row.report}
        write_json(folder / "verify.json", totals(reports))
        write_json(folder / "metrics.json", {"target": TARGET, "arms": [_metrics(row) for row in rows]})
    if not quiet:
        console.out().print(results_table(rows))
        for row in rows:
            if row.estimate is not None:
                console.out().print(f"{row.arm.name}: {summary(row.estimate)}", markup=False, soft_wrap=True)
        console.out().print(
            f"{time.monotonic() - start:.0f} s; projects, verify.json and metrics.json are in {out_dir}", markup=False
        )
    return _judge(rows)


@contextlib.contextmanager
def new_run(path: File) -> Generator[Path]:
    """A folder with the manifest of a run, which becomes `path` when the block ends without an error, and vanishes otherwise.

    Raises:
        ProjectError: something else than a former run or an empty directory lies at `path`.
    """
    path = Path(path)
    restore(path)
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ProjectError(f"{path} is no directory; choose another place for the demonstration")
    if path.exists() and not _is_run(path):
        raise ProjectError(f"{path} holds files that no demonstration wrote, so it is not cleared; choose another directory")
    with new_directory(path, _is_run, lambda old: kept_aside(old, [old / name for name in PROJECTS])) as folder:
        write_record(folder / RUN, _Run(KIND, RUN_FORMAT, SEED, PROJECTS, tool_versions()))
        yield folder


def _is_run(path: Path) -> bool:
    """Whether a demonstration wrote all of it: it has a manifest, or one that was cut short and nothing but what goes with it."""
    there = {file.name for file in path.iterdir()}
    try:
        return not there or read_record(path / RUN, _Run, RUN_FORMAT).kind == KIND
    except ProjectError:
        return RUN in there and there <= WRITTEN and _HEAD.startswith((path / RUN).read_bytes()[: len(_HEAD)])


def _arms(out_dir: Path, progress: Progress) -> list[ArmResult]:
    """Train every arm; export and verify those of `PROJECTS` on the whole test set."""
    with step(progress, "start torch"):
        import torch

        from qfx.training.arms import load_digits, train_arms

    with step(progress, "load the digits"):
        images = load_digits().test_x.numpy()
    arms = train_arms(seed=SEED, progress=progress)
    (out_dir / "checkpoints").mkdir()
    rows: list[ArmResult] = []
    for arm in arms:
        state = io.BytesIO()  # into a file torch writes past Python, and its errors do not say what is wrong
        torch.save(arm.model.state_dict(), state)
        (out_dir / "checkpoints" / f"{arm.name}.pt").write_bytes(state.getvalue())
        folder = next((folder for folder, name in PROJECTS.items() if name == arm.name), None)
        rows.append(_exported(arm, out_dir / folder, images, progress) if folder else ArmResult(arm, _graph(arm, "digits"), None))
    return rows


def _graph(arm: Arm, name: str) -> Graph | None:
    """The graph of an arm; None for floating point."""
    from qfx.frontend import lower

    return None if arm.bits is None else lower(arm.model, SHAPE, name)


def _exported(arm: Arm, folder: Path, images: np.ndarray[Any, np.dtype[np.uint8]], progress: Progress) -> ArmResult:
    graph = _graph(arm, NAMES[folder.name])
    if graph is None:
        raise ProjectError(f"arm {arm.name} is a floating-point network and cannot be exported")

    def told(task: str, done: int, total: int) -> None:
        progress(f"{folder.name}: {task}", done, total)

    with step(told, "search the folding"):
        found = fastest(graph, load_board(BOARD))
    project = write_project(found, folder, images, arm.model, progress=told)
    return ArmResult(arm, graph, verify(project, project.manifest.engines, images, model=arm.model, progress=told), found.estimate)


def results_table(rows: list[ArmResult]) -> Table:
    """Accuracy of each arm, formats, what multiplies, mismatches."""
    shown = console.table(
        "handwritten digits: 360 test images",
        "arm",
        "accuracy %",
        "formats: bits (binary points)",
        "mult.",
        "shift-adds",
        "mismatches",
    )
    for column in (1, 3, 4, 5):
        shown.columns[column].justify = "right"
    for row in rows:
        cost = _cost(row.graph)
        counts = ("float", "") if cost is None else (f"{cost.multiplications:,}", f"{cost.shift_adds:,}")
        found = "" if row.report is None else f"{row.report.mismatches:,} of {row.report.values_compared:,}"
        shown.add_row(console.named(row.arm.name, _failed(row)), f"{row.arm.accuracy:.2f}", formats(row.graph), *counts, found)
    if any(map(_failed, rows)):
        shown.caption = f"{console.MARK} differs, or misses the target of {TARGET:.0f} %"
    return shown


def _failed(row: ArmResult) -> bool:
    """Whether an exported network mismatches or misses the target."""
    return row.report is not None and (row.report.mismatches > 0 or row.arm.accuracy < TARGET)


def formats(graph: Graph | None) -> str:
    """The formats in use, per role and width: `weights 4 (3..5), 8 (7); ...`."""
    if graph is None:
        return ""
    found: dict[str, dict[int, set[int]]] = {"weights": {}, "scales": {}, "activations": {}}
    for node in graph.nodes:
        value = graph.values[node.name]
        if isinstance(node.op, Requantize):
            found["activations"].setdefault(value.type.width, set()).add(value.type.frac)
        role = {"conv2d": "weights", "linear": "weights", "affine": "scales", "prelu": "scales"}.get(node.op.kind)
        if role is not None:
            type = graph.operands(node)[1].type
            found[role].setdefault(type.width, set()).add(type.frac)
    return "; ".join(f"{role} {', '.join(_widths(item))}" for role, item in found.items())


def _widths(fracs: dict[int, set[int]]) -> list[str]:
    return [f"{width} ({_span(sorted(points))})" for width, points in sorted(fracs.items())]


def _span(points: list[int]) -> str:
    return str(points[0]) if len(points) == 1 else f"{points[0]}..{points[-1]}"


def _cost(graph: Graph | None) -> Cost | None:
    return None if graph is None else sum((node.op.cost(graph.operands(node)) for node in graph.nodes), Cost())


def _metrics(row: ArmResult) -> dict[str, Any]:
    cost = _cost(row.graph)
    counted = {} if cost is None else {"multiplications": cost.multiplications, "shift_adds": cost.shift_adds}
    compared = {} if row.report is None else {"mismatches": row.report.mismatches}
    estimated = {} if row.estimate is None else {"estimate": row.estimate.to_json()}
    return {"name": row.arm.name, "accuracy": row.arm.accuracy, "formats": formats(row.graph), **counted, **compared, **estimated}


def _judge(rows: list[ArmResult]) -> int:
    """1 if an exported network mismatches or misses the target; says so."""
    failed = [row for row in rows if _failed(row)]
    for row in failed:
        if row.report is not None and row.report.first is not None:
            console.message(f"{row.arm.name}: {row.report.first.text()}")
        if row.arm.accuracy < TARGET:
            console.message(f"{row.arm.name}: {row.arm.accuracy:.2f} % of the test images, below the target of {TARGET:.0f} %")
    return int(bool(failed))
