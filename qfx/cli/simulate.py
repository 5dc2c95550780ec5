"""`qfx simulate`: the outputs of a project's network for a file of inputs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qfx.cli import console
from qfx.cli.exit_codes import AGREED
from qfx.engines.chunks import output_chunks
from qfx.errors import InputError
from qfx.files import File, check_writable
from qfx.fixed import IntArray
from qfx.host import names as result_names
from qfx.host import results
from qfx.ir import Graph
from qfx.project import open_project
from qfx.project.golden import read_inputs, write_arrays, writing_by_name
from qfx.sim.engine import given_codes


@dataclass(frozen=True)
class SimulateOptions:
    """Options of `qfx simulate`.

    Attributes:
        inputs: file of input codes.
        out: file of output codes, or of real values.
        engine: `sim` or `onnx`.
        threads: 0 for one per core.
        host: whether to do the post-processing on the CPU, too, and to write real values, all at once.
        quiet: print errors only.
    """

    inputs: Path
    out: Path
    engine: str = "sim"
    threads: int = 0
    host: bool = False
    quiet: bool = False


@contextlib.contextmanager
def _writing_results(graph: Graph, out: Path) -> Generator[Callable[[Mapping[str, IntArray]], None]]:
    """Write what post-processing makes of output codes that come chunk by chunk."""
    parts: list[Mapping[str, IntArray]] = [{name: np.zeros((0, *graph.values[name].shape), np.int64) for name in graph.outputs}]
    yield parts.append
    write_arrays(out, results(graph, {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}))


def simulate_project(directory: File, options: SimulateOptions) -> int:
    """Run an engine on a file of input codes; writes output codes in the narrowest integer dtype, part by part."""
    graph = open_project(directory).graph
    codes, out = given_codes(graph, read_inputs(options.inputs)), options.out
    names = result_names(graph) if options.host else graph.outputs
    if len(names) > 1 and out.suffix != ".npz":
        raise InputError(f"the network has {len(names)} outputs, {', '.join(names)}; give --out a name that ends in .npz")
    check_writable(out)
    count = len(codes[graph.inputs[0]])
    start, done = time.monotonic(), 0
    writing = _writing_results(graph, out) if options.host else writing_by_name(graph, out, count)
    with console.progress_bars(options.quiet) as progress, writing as write:
        progress("simulate", 0, count)
        for chunk in output_chunks(graph, codes, options.engine, options.threads):
            write(chunk)
            done += len(chunk[graph.outputs[0]])
            progress("simulate", done, count)
    if not options.quiet:
        _print(graph, names, count, time.monotonic() - start, options)
    return AGREED


def _print(graph: Graph, names: Sequence[str], count: int, seconds: float, options: SimulateOptions) -> None:
    shown = ", ".join(names if options.host else [str(graph.values[name]) for name in names])
    rate = f"{seconds:.1f} s, {count / seconds:,.0f} samples/s with {options.engine}"
    console.out().print(f"{options.out}: {count:,} samples of {shown}; {rate}", markup=False)
    if not options.host:
        console.print_host_steps(graph)
