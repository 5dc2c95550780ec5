"""What the commands do, behind the argument parsing of `qfx.cli`. Each returns its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qfx import console
from qfx.errors import UsageError
from qfx.exactness import prove
from qfx.fixed import IntArray
from qfx.golden import read_codes, write_codes
from qfx.ir import Graph
from qfx.ops import Cost
from qfx.project import load_project, write_project
from qfx.sim.engine import chunk_size, simulate
from qfx.verify.report import Report


def export(spec: str, weights: Path, sample: Path, out: Path, name: str, overwrite: bool, seed: int, quiet: bool) -> int:
    """Lower a user's model and write it as a project."""
    codes = read_codes(sample)
    if codes.ndim < 2 or len(codes) == 0:
        raise UsageError(
            f"{sample} has shape {codes.shape}; samples are wanted as (count, channel, height, width) or (count, feature)"
        )
    from qfx.atomic import check_free
    from qfx.export.lower import lower
    from qfx.project import is_project
    from qfx.user_model import load_model

    check_free(out, is_project if overwrite else None)
    with console.progress_bars(quiet) as progress:
        model = load_model(spec, weights)
        graph = lower(model, codes.shape[1:], name)
        project = write_project(graph, out, codes, model=model, model_name=spec, overwrite=overwrite, seed=seed, progress=progress)
    if not quiet:
        console.out().print(f"{out}: {len(graph.nodes)} layers, {len(project.inputs)} recorded samples", markup=False)
    return 0


def simulate_project(directory: Path, inputs: Path, out: Path, quiet: bool) -> int:
    """Run the integer simulator on a file of input codes; writes output codes in the narrowest integer dtype."""
    graph = load_project(directory).graph
    codes = read_codes(inputs)
    (source,), (result,) = graph.inputs, graph.outputs
    parts: list[IntArray] = [np.zeros((0, *graph.values[result].shape), np.int64)]
    with console.progress_bars(quiet) as progress:
        for chunk in simulate(graph, {source: codes}, chunk=min(chunk_size(graph), 256)):
            parts.append(chunk[result])
            progress("simulate", sum(map(len, parts)), len(codes))
    write_codes(out, np.concatenate(parts), graph.values[result].type)
    if not quiet:
        console.out().print(f"{out}: {len(codes)} samples of {graph.values[result]}", markup=False)
    return 0


def verify_project(
    directory: Path,
    engines: Sequence[str] | None,
    inputs: Path | None,
    samples: int | None,
    seed: int | None,
    model: str | None,
    weights: Path | None,
    json_target: str | None,
    quiet: bool,
) -> int:
    """Compare the engines of a project; 0 if all agree, 1 if not."""
    from qfx.verify.run import verify

    if (model is None) != (weights is None):
        raise UsageError("a live model takes both --model module:factory and --weights FILE")
    project = load_project(directory)
    codes = None if inputs is None else read_codes(inputs)
    live = None
    if model is not None and weights is not None:
        from qfx.user_model import load_model

        live = load_model(model, weights)
    with console.progress_bars(quiet) as progress:
        report = verify(project, engines, codes, samples, seed, live, progress)
    if json_target is not None:
        console.write_json(report.document(), json_target)
    if not quiet:
        print_report(report, str(directory), to_error=json_target == "-")
    elif report.first is not None:
        console.message(report.first.text())
    return 1 if report.mismatches else 0


def print_report(report: Report, title: str, to_error: bool = False) -> None:
    """A row per layer, the totals, and the first mismatch."""
    shown = console.table(title, "layer", "op", "format", "values", "mismatches", numbers=2)
    for layer in report.layers:
        shown.add_row(layer.name, layer.op, layer.type, f"{layer.values:,}", f"{layer.mismatches:,}")
    target = console.err() if to_error else console.out()
    target.print(shown)
    for note in report.notes:
        console.message(f"note: {note}")
    target.print(
        f"{' = '.join(report.engines) if not report.mismatches else ', '.join(report.engines)}: {report.samples:,} samples,"
        f" {report.values_compared:,} values compared, {report.mismatches:,} mismatches"
    )
    if report.first is not None:
        target.print(report.first.text(), markup=False)


def info(directory: Path) -> int:
    """Print a project: the network, and per node format, proof and cost."""
    project = load_project(directory)
    graph = project.graph
    out = console.out()
    out.print(graph.text(), markup=False, soft_wrap=True)
    out.print(node_table(graph))
    manifest = project.manifest
    out.print(
        f"engines {', '.join(manifest.engines)}; {len(project.inputs)} recorded samples; {manifest.board}, {manifest.part},"
        f" {manifest.clock_ns} ns; written by QFX {manifest.qfx_version}",
        markup=False,
    )
    for name in project.changed:
        console.message(f"note: {name} differs from the manifest")
    return 0


def node_table(graph: Graph) -> console.Table:
    """Format, exactness proof and cost of every node, and the total cost."""
    columns = ("node", "op", "format", "bound bits", "carrier", "multiplications", "shift-adds", "additions")
    shown = console.table("per sample", *columns, numbers=3)
    proofs = prove(graph)
    total = Cost()
    for node in graph.nodes:
        cost = node.op.cost(graph.operands(node))
        total += cost
        proof = proofs[node.name]
        shown.add_row(node.name, node.op.kind, graph.values[node.name].type.ap_name, str(proof.bits), proof.carrier, *_counts(cost))
    shown.add_section()
    shown.add_row("total", "", "", "", "", *_counts(total))
    return shown


def _counts(cost: Cost) -> tuple[str, str, str]:
    return f"{cost.multiplications:,}", f"{cost.shift_adds:,}", f"{cost.additions:,}"


def demo(out: Path, quiet: bool) -> int:
    """Train, export and verify the demonstration networks."""
    from qfx.demo import run_demo

    return run_demo(out, quiet)
