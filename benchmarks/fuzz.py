"""Random networks through every engine: PyTorch, simulator, ONNX Runtime and compiled C++ agree at every value.

    python benchmarks/fuzz.py [--networks 1000] [--csim 24] [--seed 0] [--resume FILE] [--out DIR] [--json FILE]

Every second network is a torch model of random layers, lowered, and run live; the others are graphs over all ops, which
have no torch model. The first `--csim` networks that the C++ export takes are compiled, too. `--resume` keeps what is done
in a file, and goes on from there; what failed is run again. A network that fails, by a difference or a crash, is made
smaller and kept as a project in `--out`. One that is refused with a message of QFX counts as refused. Exit code 1 if a
target is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules beside this one, however it is started

from benchmarks._targets import finish, summary
from qfx.errors import ExportError, QfxError, ToolMissingError
from qfx.files import write_text
from qfx.ir import Graph
from qfx.project import write_project
from qfx.testing.differential import compare, compare_compiled, network, shorter_models, smaller
from qfx.testing.graphs import random_inputs

COMPILERS = 2
"""At a time."""


@dataclass
class Result:
    """One network.

    Attributes:
        seed: makes it again.
        kind: `model` or `graph`.
        ops: how often each op occurs.
        compared: values compared.
        csim: values compared with compiled C++; None if it was not compiled.
        refused: message, if QFX refused it; of the C++ export alone in `no_csim`.
        failed: text of the first difference or of the crash.
    """

    seed: int
    kind: str
    ops: dict[str, int] = field(default_factory=dict[str, int])
    compared: int = 0
    csim: int | None = None
    refused: str = ""
    no_csim: str = ""
    failed: str = ""

    @property
    def excuse(self) -> str:
        """Why it is not compiled."""
        return self.refused or self.no_csim or self.failed


def run_network(seed: int, out: Path) -> Result:
    """Simulator, ONNX Runtime and torch."""
    result = Result(seed, "graph" if seed % 2 else "model")
    try:
        graph, model = network(seed)
        result.ops = dict(Counter(node.op.kind for node in graph.nodes))
        report = compare(graph, model, seed=seed)
    except QfxError as error:
        result.refused = f"{type(error).__name__}: {error}"
        return result
    except Exception as error:  # a crash is what fuzzing looks for
        result.failed = f"{type(error).__name__}: {error}"
        return result
    result.compared = report.values_compared
    if report.first is not None:
        kept = _smaller(seed, graph, report.first.layer, out / f"seed{seed}")
        result.failed = f"{report.first.text()}\n{kept}"
    return result


def run_compiled(result: Result, out: Path) -> Result:
    """The same network's C++, compiled."""
    with tempfile.TemporaryDirectory(prefix="qfx-fuzz-") as folder:
        try:
            graph, _ = network(result.seed)
            report = compare_compiled(graph, Path(folder), result.seed)
        except ToolMissingError:
            raise
        except ExportError as error:
            return dataclasses.replace(result, no_csim=str(error))
        except QfxError as error:
            return dataclasses.replace(result, failed=f"{type(error).__name__}: {error}")
        except Exception as error:  # a crash is what fuzzing looks for
            return dataclasses.replace(result, failed=f"{type(error).__name__}: {error}")
    if report.first is None:
        return dataclasses.replace(result, csim=report.values_compared)
    kept = _smaller_compiled(graph, report.first.layer, out / f"seed{result.seed}")
    return dataclasses.replace(result, csim=report.values_compared, failed=f"{report.first.text()}\n{kept}")


def _smaller(seed: int, graph: Graph, layer: str, folder: Path) -> str:
    """Keep the part of the graph that differs without torch, else the shortest model that differs."""
    found = smaller(graph, lambda part: compare(part).mismatches > 0, layer)
    if compare(found).mismatches:
        return _keep(found, seed, folder)
    for short, model in shorter_models(seed):
        if compare(short, model).mismatches:
            return f"{_keep(short, seed, folder)}\n{model}"
    return _keep(graph, seed, folder)


def _smaller_compiled(graph: Graph, layer: str, folder: Path) -> str:
    def fails(part: Graph) -> bool:
        with tempfile.TemporaryDirectory(prefix="qfx-fuzz-") as place:
            return _or_false(lambda: compare_compiled(part, Path(place)).mismatches > 0)

    return _keep(smaller(graph, fails, layer), 0, folder)


def _or_false(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except QfxError:
        return False


def _keep(graph: Graph, seed: int, folder: Path) -> str:
    """Write the graph as a project; says where, and what it is."""
    try:
        write_project(graph, folder, random_inputs(graph, 20, seed), overwrite=True, allow_unverified_modes=True)
        where = f"kept in {folder}"
    except QfxError as error:
        where = f"not kept: {error}"
    return f"{where}\n{graph.text()}"


def measure(networks: int, csim: int, seed: int, resume: Path | None, out: Path, console: Console) -> list[Result]:
    """Run what the resume file does not hold; write it after every part."""
    done = _read(resume)
    results = {entry.seed: entry for entry in done if seed <= entry.seed < seed + networks and not entry.failed}
    missing = [number for number in range(seed, seed + networks) if number not in results]
    for count, number in enumerate(track(missing, "torch, sim, onnx", console=console, transient=True), 1):
        results[number] = run_network(number, out)
        if count % 100 == 0:
            _write(resume, results)
    _write(resume, results)
    waiting = (entry for entry in list(results.values()) if entry.csim is None and not entry.excuse)
    wanted = csim - sum(entry.csim is not None for entry in results.values())
    with ThreadPoolExecutor(COMPILERS) as pool:
        while wanted > 0 and (batch := _take(waiting, min(wanted, 4 * COMPILERS))):
            for entry in pool.map(functools.partial(run_compiled, out=out), batch):
                results[entry.seed] = entry
                wanted -= entry.csim is not None
            _write(resume, results)
            console.print(f"compiled C++: {max(wanted, 0)} to go")
    return list(results.values())


def _take(items: Iterator[Result], count: int) -> list[Result]:
    return [item for _, item in zip(range(count), items, strict=False)]


def _read(file: Path | None) -> list[Result]:
    if file is None or not file.exists():
        return []
    return [Result(**json.loads(line)) for line in file.read_text().splitlines()]


def _write(file: Path | None, results: dict[int, Result]) -> None:
    if file is None:
        return
    write_text(file, "".join(json.dumps(dataclasses.asdict(result)) + "\n" for result in results.values()))


def rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One row per kind of network."""
    return [
        {
            "kind": kind,
            "networks": len(found),
            "compared": sum(result.compared > 0 for result in found),
            "refused": sum(bool(result.refused) for result in found),
            "values": sum(result.compared for result in found),
            "compiled": sum(result.csim is not None for result in found),
            "csim_values": sum(result.csim or 0 for result in found),
            "failed": sum(bool(result.failed) for result in found),
        }
        for kind in ("model", "graph")
        if (found := [result for result in results if result.kind == kind])
    ]


def targets(results: Sequence[Result], csim: int) -> list[dict[str, Any]]:
    """What is promised."""
    compiled = sum(result.csim is not None for result in results)
    failed = sum(bool(result.failed) for result in results)
    return [
        {"name": "networks that differ or crash", "value": failed, "target": 0, "sense": "<="},
        {"name": "networks compiled as C++", "value": compiled, "target": csim, "sense": ">="},
    ]


def show(results: Sequence[Result], found: Sequence[dict[str, Any]], seconds: float, console: Console) -> None:
    """Print the summary."""
    shown = rows(results)
    table = Table(*shown[0], title=f"{len(results)} random networks, {seconds:.0f} s")
    for row in shown:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row.values()))
    console.print(table)
    ops = sum((Counter(result.ops) for result in results), Counter[str]())
    console.print("ops: " + ", ".join(f"{kind} {count:,}" for kind, count in ops.most_common()))
    reasons = Counter(f"refused: {result.refused.split(': ')[0]}" for result in results if result.refused)
    reasons += Counter(f"not compiled: {result.no_csim.split('; ')[0][-60:]}" for result in results if result.no_csim)
    for text, count in reasons.most_common(12):
        console.print(f"{count:,} x {text}", markup=False)
    for result in results:
        if result.failed:
            console.print(f"seed {result.seed} ({result.kind}): {result.failed}", markup=False)
    for entry in found:
        console.print(summary(entry, ","))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description="Random networks through every engine.")
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--csim", type=int, default=24, help="how many of them are compiled as C++")
    parser.add_argument("--seed", type=int, default=0, help="of the first network; the others follow")
    parser.add_argument("--resume", type=Path, help="file of results to go on from")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="where networks that fail are kept")
    parser.add_argument("--json", type=Path, help="also write the rows and targets here")
    options = parser.parse_args(arguments)
    console, start = Console(highlight=False), time.monotonic()
    torch.set_num_threads(1)
    results = measure(options.networks, options.csim, options.seed, options.resume, options.out, console)
    found = targets(results, options.csim)
    show(results, found, time.monotonic() - start, console)
    return finish(options.json, rows(results), found)


if __name__ == "__main__":
    sys.exit(main())
