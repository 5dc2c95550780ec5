"""`qfx info`: what a project holds, or what the quantizers of a model in training do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from qfx.cli import console
from qfx.cli.exit_codes import AGREED
from qfx.errors import InputError
from qfx.files import File
from qfx.ir import Graph
from qfx.ir.proof import prove
from qfx.ops import Cost
from qfx.progress import step
from qfx.project import Project, open_project
from qfx.project.golden import read_inputs
from qfx.project.readme import recorded_text
from qfx.sim.engine import by_input

if TYPE_CHECKING:
    from qfx.training.watch import Row


def names_model(target: str) -> bool:
    """Whether an argument is a file, or `module:factory`: it has a colon, and nothing of this name lies on the disk."""
    return Path(target).is_file() or (":" in target and not Path(target).exists())


def info(target: str, weights: File | None = None, sample: File | None = None, json: str | None = None) -> int:
    """Print a project, or the quantizers of a network.

    Args:
        target: a directory, a file of `qfx.save`, or `module:factory`.
        weights: of the model that a factory makes.
        sample: raw inputs of the model.
        json: file to write it to as JSON; `-` is standard output, and nothing else is printed there.
    """
    if names_model(target):
        return _info_model(target, weights, sample, json)
    if weights is not None or sample is not None:
        raise InputError(
            f"{target} is no network; --weights and --sample are for module:factory, --sample for a file of qfx.save, too"
        )
    return _info_project(target, json)


def _info_model(spec: str, weights: File | None, sample: File | None, json: str | None) -> int:
    """Print the quantizers: formats, and what they lose on the sample, if there is one."""
    from qfx.cli.factory import load_model
    from qfx.engines.torch_engine import TorchEngine
    from qfx.frontend import lower
    from qfx.training.watch import Watcher

    model = load_model(spec, weights)
    watcher = Watcher(model)
    if sample is not None:
        codes = read_inputs(sample)
        shapes = {name: array.shape[1:] for name, array in codes.items()} if isinstance(codes, Mapping) else codes.shape[1:]
        graph = lower(model, shapes)
        with console.progress_bars(quiet=False) as progress, step(progress, "measure the sample"), watcher.measuring():
            TorchEngine(model, graph, outputs_only=True).run(by_input(graph, codes))
    rows = watcher.rows()
    if json is not None:
        console.write_json({"model": spec, "quantizers": [dataclasses.asdict(row) for row in rows]}, json)
    if json != "-":
        console.out().print(_quantizer_table(spec, rows))
    return AGREED


def _quantizer_table(spec: str, rows: Sequence[Row]) -> console.Table:
    """Format and losses of every quantizer."""
    columns = ("quantizer", "format", "frozen", "learned", "digits", "saturated", "underflowed")
    shown = console.table(escape(spec), *columns, numbers=4, dense=True)
    for row in rows:
        grid = str(row.frac) if row.frac == row.coarsest else f"{row.coarsest}..{row.frac}"
        format = f"{'signed' if row.signed else 'unsigned'} {row.width}, frac {grid}"
        digits = "" if row.digits is None else f"{row.digits:.2f}"
        rates = ("" if rate is None else f"{rate:.3%}" for rate in (row.saturated, row.underflowed))
        shown.add_row(console.named(row.path), format, "yes" if row.frozen else "", f"{row.learned:.3f}", digits, *rates)
    return shown


def _info_project(directory: File, json: str | None) -> int:
    """Print a project: the network, and per node format, proof and cost."""
    project = open_project(directory)
    graph = project.graph
    if json is not None:
        console.write_json(_project_document(project), json)
    if json != "-":
        console.print_lines(graph.text())
        console.out().print(node_table(graph))
        console.out().print(_origin(project), markup=False)
    for name in project.changed:
        console.message(f"note: {name} differs from the manifest")
    return AGREED


def _origin(project: Project) -> str:
    """What the manifest says, in a line."""
    manifest = project.manifest
    torch = f", {recorded_text(manifest.recorded)}" if project.torch_file else ""
    return (
        f"engines {', '.join(manifest.engines)}; {project.sample_count} recorded samples{torch}; {manifest.board}, {manifest.part},"
        f" {manifest.clock_ns} ns; written by QFX {manifest.qfx_version}"
    )


def _project_document(project: Project) -> dict[str, Any]:
    """For JSON: the manifest but its hashes, and per node format, proof and cost."""
    graph, proofs = project.graph, prove(project.graph)
    nodes: list[dict[str, Any]] = []
    for node in graph.nodes:
        value, proof = graph.values[node.name], proofs[node.name]
        nodes.append(
            {
                "name": node.name,
                "op": node.op.kind,
                "inputs": list(node.inputs),
                "type": value.type.ap_name,
                "shape": list(value.shape),
                "bound_bits": proof.bits,
                "accumulator": proof.accumulator,
                **dataclasses.asdict(node.op.cost(graph.operands(node))),
                "source": node.source,
            }
        )
    stated = dataclasses.asdict(project.manifest)
    del stated["files"]
    return {**stated, "samples": project.sample_count, "changed": list(project.changed), "nodes": nodes}


def node_table(graph: Graph) -> console.Table:
    """Exactness proof and cost of every node, and the total cost; the formats stand in the graph's text."""
    columns = ("node", "bound bits", "accumulator", "mult.", "shift-adds", "additions")
    shown = console.table("per sample", *columns, numbers=5, dense=True)
    proofs = prove(graph)
    total = Cost()
    for node in graph.nodes:
        cost = node.op.cost(graph.operands(node))
        total += cost
        proof = proofs[node.name]
        shown.add_row(console.named(node.name), str(proof.bits), proof.accumulator, *_counts(cost))
    shown.add_section()
    shown.add_row("total", "", "", *_counts(total))
    return shown


def _counts(cost: Cost) -> tuple[str, str, str]:
    return f"{cost.multiplications:,}", f"{cost.shift_adds:,}", f"{cost.additions:,}"
