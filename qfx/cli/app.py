"""The command line: argument parsing only. A command lies in the module of its name."""

from __future__ import annotations

import errno
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from qfx._version import __version__
from qfx.cli.completion import SHELLS, one_of, prepare, print_completion, some_of
from qfx.cli.exit_codes import BAD_INPUT, INTERRUPTED, exit_code
from qfx.errors import QfxError, QfxWarning

app = typer.Typer(
    name="qfx",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Directory = Annotated[Path, typer.Argument(help="The project, as `qfx export` writes it.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and mismatches only.")]
Clock = Annotated[
    float | None, typer.Option(help="Clock in MHz; must be a frequency that PL clock 0 can have.", show_default=False)
]
Json = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write the result as JSON to this file; `-` is standard output.", show_default=False),
]
Weights = Annotated[
    Path | None,
    typer.Option(help="Weights for MODULE:FACTORY: a state dict, or a network that qfx.save wrote.", show_default=False),
]

BOARDS = ("ultra96", "zcu104")
ENGINES = ("torch", "sim", "onnx", "csim", "threads", "live")
FAST_ENGINES = ("sim", "onnx")
FOLDINGS = ("fastest", "plain")
PRODUCTS = ("dsp", "packed", "lut", "khot")
AXI_BITS = ("32", "64", "128")
RECORDS = ("all", "outputs")
"""What options take, written here so that `--help` and completion load nothing; a test compares them with who checks them."""


def _choices(*names: str) -> str:
    """How a choice is shown: `[one|other]`."""
    return f"[{'|'.join(names)}]"


INPUTS = "Integer inputs (count, ...) in a .npy file; of several inputs a .npz file with an array for each, by name."


def _print_version(asked: bool) -> None:
    if asked:
        print(f"qfx {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Fixed-point and multiplier-free networks, from PyTorch to an FPGA, bit exact on the way."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Directory for all results; it takes the place of a former run.")] = Path("out/demo"),
    quiet: Quiet = False,
) -> None:
    """Train, export, compile and verify two networks on handwritten digits."""
    from qfx.cli.demo import run_demo

    _finish(lambda: run_demo(out, quiet))


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="FILE|MODULE:FACTORY",
            help="A network that qfx.save wrote, or a function without arguments that makes the model.",
            show_default=False,
        ),
    ],
    sample: Annotated[Path, typer.Option(help=INPUTS, show_default=False)],
    out: Annotated[Path, typer.Option(help="The project directory to make.", show_default=False)],
    weights: Weights = None,
    name: Annotated[str, typer.Option(help="Name of the network, a C identifier.")] = "network",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a project that lies there.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random inputs that are added to fewer than 100 samples.")] = 0,
    record: Annotated[
        str,
        typer.Option(
            metavar=_choices(*RECORDS, "N"),
            autocompletion=one_of(RECORDS),
            help="Which of PyTorch's values to keep: of all layers, of the outputs only, or of all layers on the first N samples.",
        ),
    ] = "all",
    allow_unverified_modes: Annotated[
        bool, typer.Option("--allow-unverified-modes", help="Take casts beyond AP_TRN, AP_RND, AP_RND_CONV with AP_WRAP, AP_SAT.")
    ] = False,
    board: Annotated[
        str, typer.Option(metavar=_choices(*BOARDS), autocompletion=one_of(BOARDS), help="The board to build for.")
    ] = "ultra96",
    clock: Clock = None,
    folding: Annotated[
        str,
        typer.Option(
            metavar=_choices(*FOLDINGS),
            autocompletion=one_of(FOLDINGS),
            help="Folding configuration: `fastest` that is estimated to fit the board, or `plain` words of up to 8 codes.",
        ),
    ] = "fastest",
    fps: Annotated[
        float | None, typer.Option(help="Stop at this many frames per second, and use few resources.", show_default=False)
    ] = None,
    product: Annotated[
        list[str] | None,
        typer.Option(
            metavar=f"NODE={_choices(*PRODUCTS)}",
            help="Choose how a node multiplies: dsp, packed (several in a DSP), lut, or khot (shifts). May be repeated.",
            show_default=False,
        ),
    ] = None,
    multiplier_free: Annotated[bool, typer.Option("--multiplier-free", help="Make all products of shifts and additions.")] = False,
    axi_bits: Annotated[
        int, typer.Option(metavar=_choices(*AXI_BITS), autocompletion=one_of(AXI_BITS), help="Bits of a beat of the AXI streams.")
    ] = 64,
    quiet: Quiet = False,
) -> None:
    """Write a trained model as a project: graph, ONNX model, HLS C++ with a folding for a board, and golden vectors."""
    from qfx.cli import export as command
    from qfx.export.accelerator import AcceleratorOptions

    def run() -> int:
        products = command.parsed_products(product or ())
        asked = AcceleratorOptions(board, clock, folding, fps, products, multiplier_free, axi_bits)
        return command.export(
            command.ExportOptions(model, sample, out, weights, name, overwrite, seed, record, allow_unverified_modes, asked, quiet)
        )

    _finish(run)


@app.command()
def estimate(directory: Directory, clock: Clock = None, json: Json = None, quiet: Quiet = False) -> None:
    """Estimate resource usage, frames per second and latency of a project. The exit code is 1 if it does not fit its board."""
    from qfx.cli.estimate import estimate_project

    _finish(lambda: estimate_project(directory, clock, json, quiet))


@app.command()
def simulate(
    directory: Directory,
    inputs: Annotated[Path, typer.Option(help=INPUTS, show_default=False)],
    out: Annotated[Path, typer.Option(help="The .npy file to write; of several outputs a .npz file.", show_default=False)],
    engine: Annotated[
        str,
        typer.Option(
            metavar=_choices(*FAST_ENGINES),
            autocompletion=one_of(FAST_ENGINES),
            help="The engine: sim computes with NumPy, onnx with ONNX Runtime; both give the same codes.",
        ),
    ] = "sim",
    threads: Annotated[int, typer.Option(min=0, help="Number of threads; 0 means one per core.")] = 0,
    host: Annotated[
        bool, typer.Option("--host", help="Do the post-processing on the CPU, such as softmax, too, and write real values.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Run the bit-exact simulator on integer inputs, as many as there are: .npy files are read and written chunk by chunk."""
    from qfx.cli.simulate import SimulateOptions, simulate_project

    _finish(lambda: simulate_project(directory, SimulateOptions(inputs, out, engine, threads, host, quiet)))


@app.command()
def verify(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="The projects, as `qfx export` writes them.", show_default=False)
    ],
    engines: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE,...",
            autocompletion=some_of(ENGINES),
            help=f"Engines to compare, of {', '.join(ENGINES)}; the first is the reference.",
            show_default=False,
        ),
    ] = None,
    inputs: Annotated[Path | None, typer.Option(help=INPUTS, show_default=False)] = None,
    samples: Annotated[int | None, typer.Option(help="Number of samples to compare.", show_default=False)] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of random inputs; with --inputs, of the samples picked.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|MODULE:FACTORY",
            help="Run torch live, on a network that qfx.save wrote or the model that this function makes.",
            show_default=False,
        ),
    ] = None,
    weights: Weights = None,
    json: Json = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML with a case per layer.", show_default=False)] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report as text.", show_default=False)] = None,
    outputs_only: Annotated[
        bool, typer.Option("--outputs-only", help="Compare the network's outputs, not every value of every layer: faster.")
    ] = False,
    sanitize: Annotated[
        bool, typer.Option("--sanitize", help="Compile the C++ with sanitizers: slower, stops at the first fault.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if a file of a project was edited, is missing or was added; the exit code is 4.")
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Compile the C++ even if the same was compiled before.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare torch, simulator, ONNX Runtime and the compiled C++ at every value of every layer. The worst exit code counts."""
    from qfx.cli.verify import VerifyOptions, verify_projects

    names = None if engines is None else [name.strip() for name in engines.split(",")]
    options = VerifyOptions(
        names, inputs, samples, seed, model, weights, json, junit, report, not no_cache, outputs_only, sanitize, strict, quiet
    )
    _finish(lambda: verify_projects(directories, options))


@app.command()
def info(
    target: Annotated[
        str,
        typer.Argument(
            metavar="DIR|FILE|MODULE:FACTORY",
            help="A project, a network that qfx.save wrote, or a model in training.",
            show_default=False,
        ),
    ],
    weights: Weights = None,
    sample: Annotated[
        Path | None, typer.Option(help="Raw inputs of the model, to measure what its quantizers lose.", show_default=False)
    ] = None,
    json: Json = None,
) -> None:
    """Print a project: the network, formats, exactness and costs; or the quantizers of a network."""
    from qfx.cli import info as command

    _finish(lambda: command.info(target, weights, sample, json))


@app.command()
def doctor() -> None:
    """Show what this machine has of what QFX uses, and what to do about the rest. The exit code is 3 if something is missing."""
    from qfx.cli.doctor import show_machine

    _finish(show_machine)


@app.command()
def completion(
    context: typer.Context,
    shell: Annotated[
        str,
        typer.Argument(
            metavar=_choices(*SHELLS), autocompletion=one_of(SHELLS), help="The shell to complete in.", show_default=False
        ),
    ],
) -> None:
    """Print the script that completes commands and options in a shell: source it, as in `source <(qfx completion bash)`."""
    _finish(lambda: print_completion(shell, context))


def _finish(command: Callable[[], int]) -> None:
    """Run a command and exit with its code; errors that a user can cause become messages, QFX's warnings notes."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _noted(warnings.showwarning)
            code = command()
    except QfxError as error:
        print(f"error: {error}", file=sys.stderr)
        code = exit_code(error)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        print(f"error: {error}{'; free some space, nothing half-written was left' if full else ''}", file=sys.stderr)
        code = exit_code(error)
    except MemoryError as error:
        print(f"error: this needs more memory than there is: {error}; take fewer samples at a time", file=sys.stderr)
        code = BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    raise typer.Exit(code)


def _noted(others: Callable[..., None]) -> Callable[..., None]:
    """Shows QFX's own warnings as notes, and all else as `others` does."""

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if issubclass(category, QfxWarning):
            print(f"note: {message}", file=sys.stderr)
        else:
            others(message, category, *where)

    return show


def _terminate(signum: int, frame: object) -> None:
    """Ends by an exception, so that what is half-written is removed."""
    sys.exit(128 + signum)


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _terminate)
    prepare()
    app(prog_name="qfx")
