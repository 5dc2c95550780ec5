"""`qfx export`: a trained model becomes a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qfx.cli import console
from qfx.cli.estimate import summary
from qfx.cli.exit_codes import AGREED
from qfx.errors import InputError
from qfx.export.accelerator import PRODUCTS, Accelerator, AcceleratorOptions, accelerate
from qfx.files import check_free
from qfx.progress import step
from qfx.project import Project, is_project, write_project
from qfx.project.golden import read_inputs
from qfx.sim.engine import Codes


@dataclass(frozen=True)
class ExportOptions:
    """Options of `qfx export`.

    Attributes:
        model: `module:factory`, or a file of `qfx.save`.
        sample: file of raw integer inputs.
        out: the project to make.
        weights: file with the state dict of a factory's model.
        name: of the network.
        overwrite: replace a project that lies there.
        seed: of the inputs added to few samples.
        record: of torch's values: `all`, `outputs` or a number of samples.
        allow_unverified_modes: as for `write_project`.
        accelerator: what is asked of the hardware.
        quiet: print errors only.
    """

    model: str
    sample: Path
    out: Path
    weights: Path | None = None
    name: str = "network"
    overwrite: bool = False
    seed: int = 0
    record: str = "all"
    allow_unverified_modes: bool = False
    accelerator: AcceleratorOptions = field(default_factory=AcceleratorOptions)
    quiet: bool = False


def export(options: ExportOptions) -> int:
    """Lower a user's model, find its accelerator and write both as a project."""
    samples = read_inputs(options.sample)
    shapes = _shapes(options.sample, samples)
    check_free(options.out, is_project if options.overwrite else None)
    with console.progress_bars(options.quiet) as progress:
        with step(progress, "load the model"):
            from qfx.cli.factory import load_model
            from qfx.frontend import lower

            model = load_model(options.model, options.weights)
        with step(progress, "lower the model"):
            graph = lower(model, shapes, options.name)
        with step(progress, "search the folding"):
            accelerator = accelerate(graph, options.accelerator)
        project = write_project(
            accelerator,
            options.out,
            samples,
            model,
            model_name=options.model,
            overwrite=options.overwrite,
            seed=options.seed,
            record=options.record,
            progress=progress,
            allow_unverified_modes=options.allow_unverified_modes,
        )
    if not options.quiet:
        _print(accelerator, project)
    return AGREED


def _shapes(file: Path, samples: Codes) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
    """Of one sample of the only input, or of each by name."""
    named = samples if isinstance(samples, Mapping) else {"": samples}
    for label, array in named.items():
        if array.ndim < 2 or len(array) == 0:
            raise InputError(
                f"{file}{label and f': {label!r}'} has shape {array.shape};"
                " samples are wanted as (count, channel, height, width) or (count, feature)"
            )
    shapes = {label: array.shape[1:] for label, array in named.items()}
    return shapes if isinstance(samples, Mapping) else shapes[""]


def _print(accelerator: Accelerator, project: Project) -> None:
    graph, out = accelerator.graph, console.out()
    out.print(f"{project.path}: {len(graph.nodes)} layers, {project.sample_count} recorded samples", markup=False)
    out.print(summary(accelerator.estimate), markup=False)
    if accelerator.relief:
        out.print(f"faster: {accelerator.relief}", markup=False)
    console.print_host_steps(graph)


def parsed_products(given: Sequence[str]) -> dict[str, str]:
    """Node name -> how it multiplies, from items `NODE=KIND`.

    Raises:
        InputError: an item of another form.
    """
    found: dict[str, str] = {}
    for item in given:
        name, _, kind = item.rpartition("=")
        if not name or kind not in PRODUCTS:
            raise InputError(f"--product wants NODE=KIND with a kind of {', '.join(PRODUCTS)}, not {item!r}")
        found[name] = kind
    return found
