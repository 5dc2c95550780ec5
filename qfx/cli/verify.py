"""`qfx verify`: the engines of one or more projects compared; tables, JSON, JUnit XML."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from qfx.cli import console
from qfx.cli.exit_codes import AGREED, ALTERED, MISMATCH, TOOL_MISSING, exit_code
from qfx.cli.outcome import Outcome
from qfx.engines.report import Report
from qfx.errors import InputError, QfxError
from qfx.files import check_writable, write_text
from qfx.progress import Progress, step
from qfx.project import open_project, verify
from qfx.project.golden import read_inputs
from qfx.sim.engine import Codes


@dataclass(frozen=True)
class VerifyOptions:
    """Options of `qfx verify`, None for those not given.

    Attributes:
        engines: names, the reference first.
        inputs: file of input codes, for every project.
        samples, seed: how many, and of which random ones.
        model, weights: `module:factory` and state dict of a live torch model; a file of `qfx.save` has both.
        json: file for JSON; `-` is standard output.
        junit: file for JUnit XML.
        report: file for what would be printed.
        cached: whether compiled C++ is kept and used again.
        outputs_only: compare the networks' outputs, and no other value.
        sanitize: compile the C++ with the address and undefined-behaviour sanitizers.
        strict: any difference from the manifest is a failure.
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
    strict: bool = False
    quiet: bool = False


def verify_projects(directories: Sequence[Path], options: VerifyOptions) -> int:
    """Compare the engines of each project; returns the worst exit code."""
    from qfx.cache import default_cache
    from qfx.cli.junit import junit
    from qfx.cli.outcome import documents

    names = list(dict.fromkeys(map(str, directories)))
    if options.model is None and options.weights is not None:
        raise InputError("a live model takes --model module:factory and --weights FILE, or --model FILE of qfx.save")
    if options.model is not None and len(names) > 1:
        raise InputError(f"a live model belongs to one project; {len(names)} were given")
    console.check_json(options.json)
    for file in filter(None, (options.junit, options.report)):
        check_writable(file)
    codes = None if options.inputs is None else read_inputs(options.inputs)
    cache = default_cache() if options.cached else None
    written = console.plain()
    outcomes: list[Outcome] = []
    with console.progress_bars(options.quiet) as progress:
        for name in names:
            outcomes.append(_verified(name, options, codes, cache, progress, alone=len(names) == 1))
            print_outcome(outcomes[-1], options, written, "" if len(names) == 1 else f"{name}: ")
    if len(names) > 1:
        _print_summary(outcomes, options, written)
    if options.json is not None:
        console.write_json(documents(outcomes), options.json)
    if options.junit is not None:
        write_text(options.junit, junit(outcomes))
    if options.report is not None:
        write_text(options.report, written.export_text())
    return max(outcome.exit_code for outcome in outcomes)


def _verified(
    name: str, options: VerifyOptions, codes: Codes | None, cache: Path | None, progress: Progress, alone: bool
) -> Outcome:
    """Verify one project. An error becomes its outcome, so that the other projects are judged all the same."""

    def told(task: str, done: int, total: int) -> None:
        progress(task if alone else f"{name}: {task}", done, total)

    start = time.monotonic()
    try:
        with step(told, "read the project"):
            project = open_project(name, options.strict)
        live = None
        if options.model is not None:
            from qfx.cli.factory import load_model

            with step(told, "load the model"):
                live = load_model(options.model, options.weights)
        report = verify(
            project,
            options.engines,
            codes,
            model=live,
            samples=options.samples,
            seed=options.seed,
            outputs_only=options.outputs_only,
            sanitize=("address", "undefined") if options.sanitize else (),
            cache=cache,
            progress=told,
        )
    except (QfxError, OSError) as error:
        return Outcome(name, time.monotonic() - start, error=str(error), code=exit_code(error))
    return Outcome(name, time.monotonic() - start, report)


def print_outcome(outcome: Outcome, options: VerifyOptions, written: console.Console, about: str = "") -> None:
    """Show what became of a project, as the options want it, and put all of it into `written`.

    Args:
        about: which project it is, before what is said on standard error, where there are several.
    """
    report = outcome.report
    if report is None:
        console.message(f"{about}error: {outcome.error}")
        written.print(f"{outcome.name}\nerror: {outcome.error}\n", markup=False)
        return
    for note in report.notes if not options.quiet else ():
        console.message(f"{about}note: {note}")
    if not options.quiet:
        print_report(report, outcome.name, console.err() if options.json == "-" else console.out())
    elif report.first is not None:
        console.message(f"{about}{report.first.text()}")
    print_report(report, outcome.name, written)
    written.print(*(f"note: {note}" for note in report.notes), sep="\n", markup=False)


def print_report(report: Report, title: str, target: console.Console) -> None:
    """A row per layer, the totals, and the first mismatch. Both counts of a layer are over all samples and engines."""
    shown = console.table(escape(title), "layer", "op", "format", "compared", "mismatches", numbers=2, dense=True)
    shown.caption = _CAPTION + (f"; {console.MARK} differs" if report.mismatches else "")
    for layer in report.layers:
        name = console.named(layer.name, layer.mismatches > 0)
        shown.add_row(name, layer.op, layer.type, f"{layer.compared:,}", f"{layer.mismatches:,}")
    target.print(shown)
    target.print(report.summary)
    if report.first is not None:
        target.print(report.first.text(), markup=False)


def _print_summary(outcomes: Sequence[Outcome], options: VerifyOptions, written: console.Console) -> None:
    """A row per project."""
    shown = console.table(f"{len(outcomes)} projects", "project", "result", "samples", "compared", "mismatches", numbers=3)
    shown.caption = _CAPTION + (f"; {console.MARK} failed" if any(outcome.exit_code for outcome in outcomes) else "")
    for outcome in outcomes:
        report = outcome.report
        counts = (
            ("", "", "")
            if report is None
            else tuple(map("{:,}".format, (report.samples, report.values_compared, report.mismatches)))
        )
        shown.add_row(console.named(outcome.name, outcome.exit_code > 0), _RESULTS.get(outcome.exit_code, "error"), *counts)
    written.print(shown)
    if not options.quiet:
        (console.err() if options.json == "-" else console.out()).print(shown)


_CAPTION = "counted over all samples and engines"
"""Below tables of what was compared."""

_RESULTS = {AGREED: "agree", MISMATCH: "mismatch", TOOL_MISSING: "unavailable", ALTERED: "altered"}
"""Exit code of a project -> the word for it."""
