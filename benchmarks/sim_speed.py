"""Images per second of every engine of QFX, beside float ONNX Runtime and hls4ml's compiled emulation.

    python benchmarks/sim_speed.py [--rounds 7] [--images 50000] [--json FILE]

Two networks with random weights, calibrated formats, 8-bit weights and activations: cifar-small and ResNet-8 (qfx.models). Each
engine is a process of its own and uses as many threads as it likes. All run once per round, one after the other, with as many
images as take it about a second; a ratio is the median over the rounds of the ratio within a round. Engines return the network's
outputs alone; those of QFX have to be equal. Compilers, which use one core, run in turns, too; their processor time counts. Memory
is the peak of the resident set; for C simulation that of the Python process and of as many programs as there are cores. At the
end the NumPy engine streams `--images` images of cifar-small from a file. Exit code 1 if a target is missed, 3 without the peers.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import qfx
from qfx.cli.exit_codes import TOOL_MISSING
from qfx.errors import ProjectError, QfxError, ToolMissingError
from qfx.export.hls import write_hls
from qfx.export.hls.board import load_board
from qfx.export.hls.design import design
from qfx.ir import save_graph
from qfx.models import CifarSmall, ResNet8
from qfx.sim import FastSimulator

IMAGE = (3, 32, 32)
NETWORKS: dict[str, type[torch.nn.Module]] = {"cifar-small": CifarSmall, "ResNet-8": ResNet8}
ENGINES = ("float", "numpy", "onnx", "csim", "hls4ml")
EXACT = ("numpy", "onnx", "csim")
SECONDS = 1.0
"""Of one measurement, about."""
PAUSE = 0.3
"""Seconds before a measurement, since ONNX Runtime's threads look for more work for a while."""
COMPILATIONS = 3
CHECKED = 8
"""Images whose outputs are compared."""
WORKER = Path(__file__).with_name("_sim_engines.py")


@dataclass
class Timing:
    """One engine on one network.

    Attributes:
        rates: images per second, one per round.
        compiles: processor seconds of the compiler, one per compilation; empty without one.
        mib: peak of its memory: of its process, and of the programs that it starts.
        compile_mib: peak of its compiler.
    """

    rates: list[float] = field(default_factory=list[float])
    compiles: list[float] = field(default_factory=list[float])
    mib: float = 0.0
    compile_mib: float | None = None

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


Timings = Mapping[str, Timing]
"""By engine."""


@dataclass(frozen=True)
class Streamed:
    """The run over many images."""

    images: int
    seconds: float
    mib: float


class Worker:
    """A process of `_sim_engines.py`.

    Raises:
        ToolMissingError: a peer is missing.
        ProjectError: it ended otherwise.
    """

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        self._errors = folder / f"{engine}.log"
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), engine, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """The answer to a command."""
        assert self.process.stdin is not None and self.process.stdout is not None
        line = ""
        try:
            print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            lines = self._errors.read_text().strip().splitlines() or ["no message"]
            if self.process.wait() == TOOL_MISSING:
                raise ToolMissingError(f"{self.engine}: {lines[-1]}")
            raise ProjectError(f"{self.engine} ended with status {self.process.returncode} at {do!r}:\n" + "\n".join(lines[-8:]))
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait()


@contextmanager
def worker(engine: str, folder: Path) -> Generator[Worker]:
    """A worker for the time of a `with`."""
    process = Worker(engine, folder)
    try:
        yield process
    finally:
        process.close()


def require_peers() -> None:
    """Whether hls4ml can be imported.

    Raises:
        ToolMissingError: it cannot.
    """
    try:
        importlib.import_module("hls4ml")
    except ImportError as error:
        raise ToolMissingError(f"the benchmark compares with hls4ml, which does not import ({error}): make bench-env") from error


def write_network(name: str, folder: Path, seed: int = 0) -> None:
    """A float network with random weights, what it converts to, and all files that the engines need."""
    torch.manual_seed(seed)
    float_model = NETWORKS[name]()
    images = torch.randint(0, 256, (64, *IMAGE)).to(torch.float32)
    with torch.no_grad():
        for _ in range(10):  # batch normalisation's statistics
            float_model(images / 256)
    model = qfx.convert(float_model, config=qfx.ConvertConfig(input=qfx.InputFormat.fractions()), sample=images)
    graph = model.lower(IMAGE, name.replace("-", "_").lower())
    folder.mkdir()
    save_graph(graph, folder)
    codes = {graph.inputs[0]: np.zeros((1, *IMAGE), np.int64)}
    write_hls(design(graph), folder / "hls", load_board("ultra96"), codes, FastSimulator(graph).run(codes))
    torch.save(float_model.state_dict(), folder / "float.pt")
    (folder / "network.json").write_text(json.dumps({"float": NETWORKS[name].__name__}))
    _export_float(float_model.eval(), images[:2] / 256, folder / "float.onnx")


def _export_float(model: torch.nn.Module, example: torch.Tensor, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the newer exporter would want one package more
        torch.onnx.export(model, (example,), str(path), input_names=["x"], dynamic_axes={"x": {0: "batch"}}, dynamo=False)


def measure(folder: Path, rounds: int) -> dict[str, Timing]:
    """All engines on the network in `folder`, in turns.

    Raises:
        ProjectError: the exact engines disagree.
    """
    timings = {engine: Timing() for engine in ENGINES}
    with ExitStack() as stack:
        hls4ml = stack.enter_context(worker("hls4ml", folder))
        with worker("csim", folder) as compiler:
            for _ in range(COMPILATIONS):
                for process in (compiler, hls4ml):
                    timings[process.engine].compiles.append(process.ask("compile")["seconds"])
            timings["csim"].compile_mib = compiler.ask("memory")["children_mib"]
        timings["hls4ml"].compile_mib = hls4ml.ask("memory")["children_mib"]
        workers = {name: hls4ml if name == "hls4ml" else stack.enter_context(worker(name, folder)) for name in ENGINES}
        found = {name: workers[name].ask("codes", images=CHECKED)["codes"] for name in EXACT}
        for name in EXACT[1:]:
            if found[name] != found[EXACT[0]]:
                raise ProjectError(f"the outputs of {name} and of {EXACT[0]} differ on {folder.name}; qfx verify says where")
        counts = {name: _count(process) for name, process in workers.items()}
        for _ in range(rounds):
            for name, process in workers.items():
                time.sleep(PAUSE)
                timings[name].rates.append(counts[name] / process.ask("run", images=counts[name])["seconds"])
        for name, process in workers.items():
            memory = process.ask("memory")
            timings[name].mib = memory["mib"] + (_programs() * memory["children_mib"] if name == "csim" else 0)
    return timings


def _programs() -> int:
    """Programs that C simulation runs at a time."""
    from qfx.sim.engine import cores

    return cores()


def _count(process: Worker) -> int:
    """Images that take this engine about `SECONDS`."""
    few = CHECKED
    while True:
        seconds = process.ask("run", images=few)["seconds"]
        if seconds > SECONDS / 8 or few >= 4096:
            return max(4, min(4096, round(few * SECONDS / seconds)))
        few *= 4


def stream(folder: Path, images: int) -> Streamed:
    """The NumPy engine over `images` random images in a file."""
    path = folder / "images.npy"
    file = np.lib.format.open_memmap(path, "w+", np.uint8, (images, *IMAGE))
    generator = np.random.default_rng(1)
    for start in range(0, images, 1000):
        part = file[start : start + 1000]
        part[...] = generator.integers(0, 256, part.shape, np.uint8)
    file.flush()
    with worker("numpy", folder) as process:
        seconds = process.ask("stream", file=str(path))["seconds"]
        return Streamed(images, seconds, process.ask("memory")["mib"])


def ratio(timings: Timings, a: str, b: str) -> float:
    """Of the images per second of engine a to those of engine b."""
    return statistics.median(x / y for x, y in zip(timings[a].rates, timings[b].rates, strict=True))


def targets(small: Timings, streamed: Streamed) -> list[dict[str, object]]:
    """What is promised of cifar-small, with the value found."""
    compiles = (statistics.median(small[name].compiles) for name in ("csim", "hls4ml"))
    found: list[tuple[str, float, float, str]] = [
        ("images/s, NumPy engine / float ONNX Runtime", ratio(small, "numpy", "float"), 0.15, ">="),
        ("images/s, NumPy engine / float ONNX Runtime (stretch)", ratio(small, "numpy", "float"), 0.25, ">="),
        ("images/s, NumPy engine / hls4ml", ratio(small, "numpy", "hls4ml"), 50.0, ">="),
        ("images/s, ONNX engine / float ONNX Runtime", ratio(small, "onnx", "float"), 0.4, ">="),
        ("seconds to compile, csim / hls4ml", next(compiles) / next(compiles), 1.0, "<="),
        ("images/s, csim / hls4ml", ratio(small, "csim", "hls4ml"), 3.0, ">="),
        (f"peak memory of the NumPy engine over {streamed.images:,} images, GiB", streamed.mib / 1024, 1.0, "<="),
    ]
    return [{"name": f"cifar-small: {name}", "value": v, "target": t, "sense": sense} for name, v, t, sense in found]


def missed(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the targets that were not reached; the stretch is none."""
    wrong = [entry for entry in found if (entry["value"] < entry["target"]) == (entry["sense"] == ">=")]
    return [entry["name"] for entry in wrong if entry["value"] != entry["target"] and "(stretch)" not in entry["name"]]


def rows(results: Mapping[str, Timings], streamed: Streamed) -> list[dict[str, object]]:
    """A row per network and engine, and one for the long run."""
    table: list[dict[str, object]] = [
        {
            "network": network,
            "engine": name,
            "images_per_s": timing.rate,
            "lowest": min(timing.rates),
            "highest": max(timing.rates),
            "of_float": ratio(timings, name, "float"),
            "of_hls4ml": ratio(timings, name, "hls4ml"),
            "compile_s": statistics.median(timing.compiles) if timing.compiles else None,
            "compile_mib": timing.compile_mib,
            "peak_mib": timing.mib,
        }
        for network, timings in results.items()
        for name, timing in timings.items()
    ]
    rate = streamed.images / streamed.seconds
    long: dict[str, object] = {
        "network": "cifar-small",
        "engine": "numpy",
        "images": streamed.images,
        "images_per_s": rate,
        "peak_mib": streamed.mib,
    }
    return [*table, long]


def show(table: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print everything."""
    columns = ("network", "engine", "images/s", "range", "of float", "of hls4ml", "compile", "MiB", "peak MiB")
    printed = Table(*columns, title="Images per second; processor seconds and memory of the compiler")
    for row in table[:-1]:
        span = f"{row['lowest']:.1f}..{row['highest']:.1f}"
        numbers = [f"{row['images_per_s']:.1f}", span, f"{row['of_float']:.4f}", f"{row['of_hls4ml']:.2f}"]
        numbers += ["" if row[key] is None else f"{row[key]:.{digits}f}" for key, digits in (("compile_s", 1), ("compile_mib", 0))]
        printed.add_row(row["network"], row["engine"], *numbers, f"{row['peak_mib']:.0f}")
    console.print(printed)
    long = table[-1]
    console.print(f"NumPy engine, {long['images']:,} images: {long['images_per_s']:.1f} images/s, peak {long['peak_mib']:.0f} MiB")
    for entry in found:
        verdict = "missed" if entry["name"] in missed([entry]) else "reached"
        if "(stretch)" in entry["name"]:
            verdict = "stretch"
        console.print(
            f"{verdict}: {entry['name']}: {entry['value']:.3f} (target {entry['sense']} {entry['target']})", soft_wrap=True
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description="Images per second of every engine, beside its peers.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=50_000, help="of the run whose memory is judged")
    parser.add_argument("--json", type=Path, help="also write the rows and targets here")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    try:
        require_peers()
        with tempfile.TemporaryDirectory(prefix="qfx-sim-speed-") as folder:
            results: dict[str, Timings] = {}
            for name in NETWORKS:
                write_network(name, Path(folder, name))
                results[name] = measure(Path(folder, name), options.rounds)
                console.print(f"{name}: measured")
            streamed = stream(Path(folder, "cifar-small"), options.images)
    except QfxError as error:
        console.print(f"error: {error}", markup=False, soft_wrap=True)
        return TOOL_MISSING if isinstance(error, ToolMissingError) else 1
    found = targets(results["cifar-small"], streamed)
    table = rows(results, streamed)
    show(table, found, console)
    if options.json is not None:
        options.json.write_text(json.dumps({"rows": table, "targets": found}, indent=2) + "\n")
    return 1 if missed(found) else 0


if __name__ == "__main__":
    sys.exit(main())
