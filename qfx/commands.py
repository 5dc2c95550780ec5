"""What the commands do, behind the argument parsing of `qfx.cli`. Each returns its exit code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.markup import escape

from qfx import console
from qfx.errors import QfxError, UsageError
from qfx.fixed import IntArray
from qfx.golden import read_inputs, write_arrays
from qfx.hardware import HardwareOptions, build, summary
from qfx.host import names as result_names
from qfx.host import results
from qfx.ir import Graph
from qfx.ir.proof import prove
from qfx.ops import Cost
from qfx.progress import Progress
from qfx.project import load_project, write_project, writing_by_name
from qfx.sim.engine import Codes, by_input
from qfx.verify.chunks import output_chunks
from qfx.verify.outcome import Outcome
from qfx.verify.report import Report


def export(
    spec: str,
    weights: Path,
    sample: Path,
    out: Path,
    name: str,
    overwrite: bool,
    seed: int,
    allow_unverified_modes: bool,
    hardware: HardwareOptions,
    quiet: bool,
) -> int:
    """Lower a user's model, find its accelerator and write both as a project."""
    codes = read_inputs(sample)
    for label, array in codes.items() if isinstance(codes, Mapping) else (("", codes),):
        if array.ndim < 2 or len(array) == 0:
            raise UsageError(
                f"{sample}{label and f': {label!r}'} has shape {array.shape};"
                " samples are wanted as (count, channel, height, width) or (count, feature)"
            )
    from qfx.atomic import check_free
    from qfx.export.lower import lower
    from qfx.project import is_project
    from qfx.user_model import load_model

    check_free(out, is_project if overwrite else None)
    with console.progress_bars(quiet) as progress:
        model = load_model(spec, weights)
        shapes = {label: array.shape[1:] for label, array in codes.items()} if isinstance(codes, Mapping) else codes.shape[1:]
        accelerator = build(lower(model, shapes, name), hardware)
        graph = accelerator.graph
        project = write_project(
            graph,
            out,
            codes,
            model=model,
            board=hardware.board,
            clock_mhz=hardware.clock_mhz,
            axi_bits=hardware.axi_bits,
            folding=accelerator.folding,
            model_name=spec,
            overwrite=overwrite,
            seed=seed,
            progress=progress,
            allow_unverified_modes=allow_unverified_modes,
        )
    if not quiet:
        console.out().print(f"{out}: {len(graph.nodes)} layers, {project.sample_count} recorded samples", markup=False)
        console.out().print(summary(accelerator.estimate), markup=False)
        if accelerator.relief:
            console.out().print(f"faster: {accelerator.relief}", markup=False)
        print_host_steps(graph)
    return 0


def print_host_steps(graph: Graph) -> None:
    """A line for each step that is left to the host."""
    for step in graph.host:
        console.out().print(f"left to the host: {step.name} = {step.text()}", markup=False)


@contextlib.contextmanager
def _writing_results(graph: Graph, out: Path) -> Generator[Callable[[Mapping[str, IntArray]], None]]:
    """Write what the host's steps make of output codes that come part by part."""
    parts: list[Mapping[str, IntArray]] = [{name: np.zeros((0, *graph.values[name].shape), np.int64) for name in graph.outputs}]
    yield parts.append
    write_arrays(out, results(graph, {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}))


def simulate_project(directory: Path, inputs: Path, out: Path, engine: str, threads: int, host: bool, quiet: bool) -> int:
    """Run an engine on a file of input codes; writes output codes in the narrowest integer dtype, part by part.

    Args:
        host: whether to go on with the host's steps and to write real values, all at once.
    """
    graph = load_project(directory).graph
    codes = by_input(graph, read_inputs(inputs))
    names = result_names(graph) if host else graph.outputs
    if len(names) > 1 and out.suffix != ".npz":
        raise UsageError(f"the network has {len(names)} outputs, {', '.join(names)}; give --out a name that ends in .npz")
    count = len(codes[graph.inputs[0]])
    start, done = time.monotonic(), 0
    writing = _writing_results(graph, out) if host else writing_by_name(graph, out, count)
    with console.progress_bars(quiet) as progress, writing as write:
        for chunk in output_chunks(graph, codes, engine, threads):
            write(chunk)
            done += len(chunk[graph.outputs[0]])
            progress("simulate", done, count)
    seconds = time.monotonic() - start
    if not quiet:
        shown = ", ".join(names if host else [str(graph.values[name]) for name in names])
        rate = f"{seconds:.1f} s, {count / seconds:,.0f} samples/s with {engine}"
        console.out().print(f"{out}: {count:,} samples of {shown}; {rate}", markup=False)
        if not host:
            print_host_steps(graph)
    return 0


@dataclass(frozen=True)
class VerifyOptions:
    """Options of `qfx verify`, None for those not given.

    Attributes:
        engines: names, the reference first.
        inputs: file of input codes, for every project.
        samples, seed: how many, and of which random ones.
        model, weights: `module:factory` and state dict of a live torch model.
        json: file for JSON; `-` is standard output.
        junit: file for JUnit XML.
        report: file for what would be printed.
        cached: whether compiled C++ is kept and used again.
        outputs_only: compare the networks' outputs, and no other value.
        sanitize: compile the C++ with the address and undefined-behaviour sanitizers.
        quiet: print errors and mismatches only.
    """

    engines: Sequence[str] | None = None
    inputs: Path | None = None
    samples: int | None = None
    seed: int | None = None
    model: str | None = None
    weights: Path | None = None
    json: str | None = None
    junit: Path | None = None
    report: Path | None = None
    cached: bool = True
    outputs_only: bool = False
    sanitize: bool = False
    quiet: bool = False


def verify_projects(directories: Sequence[Path], options: VerifyOptions) -> int:
    """Compare the engines of each project; returns the worst exit code."""
    from qfx.sim.program_cache import default_cache
    from qfx.verify.junit import junit
    from qfx.verify.outcome import documents

    names = list(dict.fromkeys(map(str, directories)))
    if (options.model is None) != (options.weights is None):
        raise UsageError("a live model takes both --model module:factory and --weights FILE")
    if options.model is not None and len(names) > 1:
        raise UsageError(f"a live model belongs to one project; {len(names)} were given")
    codes = None if options.inputs is None else read_inputs(options.inputs)
    cache = default_cache() if options.cached else None
    written = console.plain()
    outcomes: list[Outcome] = []
    with console.progress_bars(options.quiet) as progress:
        for name in names:
            outcomes.append(_verified(name, options, codes, cache, progress, alone=len(names) == 1))
            print_outcome(outcomes[-1], options, written)
    if len(names) > 1:
        _print_summary(outcomes, options, written)
    if options.json is not None:
        console.write_json(documents(outcomes), options.json)
    if options.junit is not None:
        console.write_text(junit(outcomes), options.junit)
    if options.report is not None:
        console.write_text(written.export_text(), options.report)
    return max(outcome.exit_code for outcome in outcomes)


def _verified(
    name: str, options: VerifyOptions, codes: Codes | None, cache: Path | None, progress: Progress, alone: bool
) -> Outcome:
    """Verify one project. An error becomes its outcome, so that the other projects are judged all the same."""
    from qfx.verify.run import verify

    def told(task: str, done: int, total: int) -> None:
        progress(task if alone else f"{name}: {task}", done, total)

    start = time.monotonic()
    try:
        project = load_project(Path(name))
        live = None
        if options.model is not None and options.weights is not None:
            from qfx.user_model import load_model

            live = load_model(options.model, options.weights)
        sanitizers = ("address", "undefined") if options.sanitize else ()
        chosen = (options.samples, options.seed, live)
        report = verify(project, options.engines, codes, *chosen, told, cache, options.outputs_only, sanitizers)
    except (QfxError, OSError) as error:
        code = error.exit_code if isinstance(error, QfxError) else 2
        return Outcome(name, time.monotonic() - start, error=str(error), code=code)
    return Outcome(name, time.monotonic() - start, report)


def print_outcome(outcome: Outcome, options: VerifyOptions, written: console.Console) -> None:
    """Show what became of a project, as the options want it, and put all of it into `written`."""
    report = outcome.report
    if report is None:
        console.message(f"error: {outcome.error}")
        written.print(f"{outcome.name}\nerror: {outcome.error}\n", markup=False)
        return
    for note in report.notes if not options.quiet else ():
        console.message(f"note: {note}")
    if not options.quiet:
        print_report(report, outcome.name, console.err() if options.json == "-" else console.out())
    elif report.first is not None:
        console.message(report.first.text())
    print_report(report, outcome.name, written)
    written.print(*(f"note: {note}" for note in report.notes), sep="\n", markup=False)


def print_report(report: Report, title: str, target: console.Console) -> None:
    """A row per layer, the totals, and the first mismatch."""
    shown = console.table(escape(title), "layer", "op", "format", "values", "mismatches", numbers=2)
    for layer in report.layers:
        shown.add_row(escape(layer.name), layer.op, layer.type, f"{layer.values:,}", f"{layer.mismatches:,}")
    target.print(shown)
    target.print(
        f"{' = '.join(report.engines) if not report.mismatches else ', '.join(report.engines)}: {report.samples:,} samples,"
        f" {report.values_compared:,} values compared{' (outputs only)' * report.outputs_only}, {report.mismatches:,} mismatches"
    )
    if report.first is not None:
        target.print(report.first.text(), markup=False)


def _print_summary(outcomes: Sequence[Outcome], options: VerifyOptions, written: console.Console) -> None:
    """A row per project."""
    shown = console.table(f"{len(outcomes)} projects", "project", "result", "samples", "values", "mismatches", numbers=3)
    for outcome in outcomes:
        report = outcome.report
        counts = (
            ("", "", "")
            if report is None
            else tuple(map("{:,}".format, (report.samples, report.values_compared, report.mismatches)))
        )
        shown.add_row(escape(outcome.name), _RESULTS.get(outcome.exit_code, "error"), *counts)
    written.print(shown)
    if not options.quiet:
        (console.err() if options.json == "-" else console.out()).print(shown)


_RESULTS = {0: "agree", 1: "mismatch", 3: "unavailable"}
"""Exit code of a project -> the word for it."""


def info(target: str, weights: Path | None, sample: Path | None) -> int:
    """Print a project, or the quantizers of a model in training."""
    model = weights is not None or (":" in target and not Path(target).exists())
    if not model and sample is None:
        return _info_project(Path(target))
    if not model or weights is None:
        raise UsageError(f"{target}: a model in training takes module:factory and --weights FILE; a project takes neither option")
    return _info_model(target, weights, sample)


def _info_model(spec: str, weights: Path, sample: Path | None) -> int:
    """Print the quantizers: formats, and what they lose on the sample, if there is one."""
    from qfx.export.lower import lower
    from qfx.training.watch import Watcher
    from qfx.user_model import load_model
    from qfx.verify.torch_engine import TorchEngine

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
    return 0


def _info_project(directory: Path) -> int:
    """Print a project: the network, and per node format, proof and cost."""
    project = load_project(directory)
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
    return 0


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


def demo(out: Path, quiet: bool) -> int:
    """Train, export and verify the demonstration networks."""
    from qfx.demo import run_demo

    return run_demo(out, quiet)
