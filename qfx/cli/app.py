"""The command line: argument parsing only."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from qfx import __version__
from qfx.cli.exit_codes import INTERRUPTED, exit_code
from qfx.errors import QfxError

app = typer.Typer(
    name="qfx",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Directory = Annotated[Path, typer.Argument(help="A project, as `qfx export` writes it.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and mismatches only.")]
Clock = Annotated[float | None, typer.Option(help="MHz; one that PL clock 0 can have.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="Of random inputs; with --inputs, of the samples picked.", show_default=False)]


def _print_version(asked: bool) -> None:
    if asked:
        print(f"qfx {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)] = False,
) -> None:
    """Fixed-point and multiplier-free networks, from PyTorch to an FPGA, bit exact on the way."""


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Run directory; cleared first.")] = Path("out/demo"), quiet: Quiet = False) -> None:
    """Train, export, compile and verify two networks on handwritten digits."""
    from qfx.cli import commands

    _finish(lambda: commands.demo(out, quiet))


@app.command()
def export(
    model: Annotated[
        str, typer.Argument(help="module:factory, a function without arguments that makes the model.", show_default=False)
    ],
    weights: Annotated[Path, typer.Option(help="State dict, as torch.save writes it.", show_default=False)],
    sample: Annotated[
        Path, typer.Option(help="Raw integer inputs (count, ...) as .npy; several by name as .npz.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Project directory to make.", show_default=False)],
    name: Annotated[str, typer.Option(help="Of the network: a C identifier.")] = "network",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a project that lies there.")] = False,
    seed: Annotated[int, typer.Option(help="Of the inputs added to fewer than 100 samples.")] = 0,
    allow_unverified_modes: Annotated[
        bool, typer.Option("--allow-unverified-modes", help="Take casts beyond AP_TRN, AP_RND, AP_RND_CONV with AP_WRAP, AP_SAT.")
    ] = False,
    board: Annotated[str, typer.Option(help="Such as ultra96, zcu104.")] = "ultra96",
    clock: Clock = None,
    folding: Annotated[
        str, typer.Option(help="fastest that fits the board by the model, or plain: up to 8 codes a word.")
    ] = "fastest",
    fps: Annotated[float | None, typer.Option(help="Frames per second that are enough, at least cost.", show_default=False)] = None,
    product: Annotated[
        list[str] | None,
        typer.Option(metavar="NODE=KIND", help="How a node multiplies: dsp, packed, lut or khot.", show_default=False),
    ] = None,
    multiplier_free: Annotated[bool, typer.Option("--multiplier-free", help="Shifts and additions only.")] = False,
    axi_bits: Annotated[int, typer.Option(help="Of a beat of the AXI streams: 32, 64 or 128.")] = 64,
    quiet: Quiet = False,
) -> None:
    """Write a trained model as a project: graph, ONNX model, HLS C++ folded for a board, and golden vectors."""
    from qfx.cli import commands
    from qfx.cli.hardware import HardwareOptions

    hardware = HardwareOptions(board, clock, folding, fps, product or (), multiplier_free, axi_bits)
    _finish(lambda: commands.export(model, weights, sample, out, name, overwrite, seed, allow_unverified_modes, hardware, quiet))


@app.command()
def estimate(
    directory: Directory,
    clock: Clock = None,
    json: Annotated[
        str | None, typer.Option(help="Write JSON to a .json file; without one to standard output.", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Resources, frames per second and latency of a project, by the model. Exit code 1 if it does not fit its board."""
    from qfx.cli import hardware

    _finish(lambda: hardware.estimate_project(directory, clock, json, quiet))


@app.command()
def simulate(
    directory: Directory,
    inputs: Annotated[Path, typer.Option(help="Input codes (count, ...) as .npy; several by name as .npz.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Output codes as .npy; several by name as .npz.", show_default=False)],
    engine: Annotated[str, typer.Option(help="sim, in NumPy, or onnx for ONNX Runtime; both give the same codes.")] = "sim",
    threads: Annotated[int, typer.Option(min=0, help="0 for one per core.")] = 0,
    host: Annotated[bool, typer.Option("--host", help="Go on with the host's steps, such as softmax; write real values.")] = False,
    quiet: Quiet = False,
) -> None:
    """Run the bit-exact simulator on integer inputs, as many as there are: .npy files are read and written part by part."""
    from qfx.cli import commands

    _finish(lambda: commands.simulate_project(directory, inputs, out, engine, threads, host, quiet))


@app.command()
def verify(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Projects, as `qfx export` writes them.", show_default=False)
    ],
    engines: Annotated[str | None, typer.Option(help="Such as sim,csim; the first is the reference.", show_default=False)] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="Input codes (count, ...) as .npy; several by name as .npz.", show_default=False)
    ] = None,
    samples: Annotated[int | None, typer.Option(help="How many.", show_default=False)] = None,
    seed: Seed = None,
    model: Annotated[str | None, typer.Option(help="module:factory of the model, to run torch live.", show_default=False)] = None,
    weights: Annotated[Path | None, typer.Option(help="State dict of --model.", show_default=False)] = None,
    json: Annotated[
        str | None, typer.Option(help="Write JSON to a .json file; without one to standard output.", show_default=False)
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML: a case per layer.", show_default=False)] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report as text.", show_default=False)] = None,
    outputs_only: Annotated[
        bool, typer.Option("--outputs-only", help="Compare the network's outputs, not every value of every layer: faster.")
    ] = False,
    sanitize: Annotated[
        bool, typer.Option("--sanitize", help="Compile the C++ with sanitizers: slower, stops at the first fault.")
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Compile the C++ even if the same was compiled before.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare torch, simulator, ONNX Runtime and the compiled C++ at every value of every layer. The worst exit code counts."""
    from qfx.cli import commands

    names = None if engines is None else [name.strip() for name in engines.split(",")]
    options = commands.VerifyOptions(
        names, inputs, samples, seed, model, weights, json, junit, report, not no_cache, outputs_only, sanitize, quiet
    )
    _finish(lambda: commands.verify_projects(directories, options))


@app.command()
def info(
    target: Annotated[
        str, typer.Argument(metavar="DIR|MODULE:FACTORY", help="A project, or a model in training.", show_default=False)
    ],
    weights: Annotated[Path | None, typer.Option(help="State dict of the model.", show_default=False)] = None,
    sample: Annotated[
        Path | None, typer.Option(help="Raw inputs of the model, to measure what its quantizers lose.", show_default=False)
    ] = None,
) -> None:
    """Print a project: the network, formats, exactness and costs; or the quantizers of a model in training."""
    from qfx.cli import commands

    _finish(lambda: commands.info(target, weights, sample))


def _finish(command: Callable[[], int]) -> None:
    """Run a command and exit with its code; errors that a user can cause become messages."""
    try:
        code = command()
    except QfxError as error:
        print(f"error: {error}", file=sys.stderr)
        code = exit_code(error)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        print(f"error: {error}{'; free some space, nothing half-written was left' if full else ''}", file=sys.stderr)
        code = exit_code(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    raise typer.Exit(code)


def with_json_target(arguments: list[str]) -> list[str]:
    """`--json` without a file name after it gets `-`, standard output."""
    result: list[str] = []
    for position, argument in enumerate(arguments):
        result.append(argument)
        following = arguments[position + 1 :]
        if argument == "--json" and not (following and (following[0] == "-" or following[0].endswith(".json"))):
            result.append("-")
    return result


def _terminate(signum: int, frame: object) -> None:
    """Ends by an exception, so that what is half-written is removed."""
    sys.exit(128 + signum)


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _terminate)
    app(with_json_target(sys.argv[1:]), prog_name="qfx")


if __name__ == "__main__":
    main()
