"""`qfx info`: what a project holds, or what the quantizers of a model in training do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.markup import escape

from qfx.cli import console
from qfx.cli.exit_codes import AGREED
from qfx.errors import InputError
from qfx.files import File
from qfx.ir import Graph
from qfx.ir.proof import prove
from qfx.ops import Cost
from qfx.project import open_project
from qfx.project.golden import read_inputs
from qfx.sim.engine import by_input


def names_model(target: str) -> bool:
    """Whether an argument is a file, or `module:factory`: it has a colon, and nothing of this name lies on the disk."""
    return Path(target).is_file() or (":" in target and not Path(target).exists())


def info(target: str, weights: File | None = None, sample: File | None = None) -> int:
    """Print a project, or the quantizers of a network.

    Args:
        target: a directory, a file of `qfx.save`, or `module:factory`.
        weights: of the model that a factory makes.
        sample: raw inputs of the model.
    """
    if names_model(target):
        return _info_model(target, weights, sample)
    if weights is not None or sample is not None:
        raise InputError(
            f"{target} is no network; --weights and --sample are for module:factory, --sample for a file of qfx.save, too"
        )
    return _info_project(target)


def _info_model(spec: str, weights: File | None, sample: File | None) -> int:
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
        with watcher.measuring():
            TorchEngine(model, graph, outputs_only=True).run(by_input(graph, codes))
    shown = console.table(escape(spec), "quantizer", "format", "frozen", "learned", "digits", "saturated", "underflowed", numbers=5)
    for row in watcher.rows():
        grid = str(row.frac) if row.frac == row.coarsest else f"{row.coarsest}..{row.frac}"
        format = f"{'signed' if row.signed else 'unsigned'} {row.width}, frac {grid}"
        digits = "" if row.digits is None else f"{row.digits:.2f}"
        rates = ("" if rate is None else f"{rate:.3%}" for rate in (row.saturated, row.underflowed))
        shown.add_row(escape(row.path), format, "yes" if row.frozen else "", f"{row.learned:.3f}", digits, *rates)
    console.out().print(shown)
    return AGREED


def _info_project(directory: File) -> int:
    """Print a project: the network, and per node format, proof and cost."""
    project = open_project(directory)
    graph = project.graph
    out = console.out()
    out.print(graph.text(), markup=False, soft_wrap=True)
    out.print(node_table(graph))
    manifest = project.manifest
    out.print(
        f"engines {', '.join(manifest.engines)}; {project.sample_count} recorded samples; {manifest.board}, {manifest.part},"
        f" {manifest.clock_ns} ns; written by QFX {manifest.qfx_version}",
        markup=False,
    )
    for name in project.changed:
        console.message(f"note: {name} differs from the manifest")
    return AGREED


def node_table(graph: Graph) -> console.Table:
    """Format, exactness proof and cost of every node, and the total cost."""
    columns = ("node", "op", "format", "bound bits", "accumulator", "multiplications", "shift-adds", "additions")
    shown = console.table("per sample", *columns, numbers=3)
    proofs = prove(graph)
    total = Cost()
    for node in graph.nodes:
        cost = node.op.cost(graph.operands(node))
        total += cost
        proof = proofs[node.name]
        shown.add_row(
            node.name, node.op.kind, graph.values[node.name].type.ap_name, str(proof.bits), proof.accumulator, *_counts(cost)
        )
    shown.add_section()
    shown.add_row("total", "", "", "", "", *_counts(total))
    return shown


def _counts(cost: Cost) -> tuple[str, str, str]:
    return f"{cost.multiplications:,}", f"{cost.shift_adds:,}", f"{cost.additions:,}"
