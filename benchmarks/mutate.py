"""Small errors planted in generated C++: each is found by verify's comparison, and the right layer is named.

    python benchmarks/mutate.py [--count 300] [--seed 0] [--only REGEX] [--json FILE]

A mutant is a project whose C++ has one change: the lowest bit of a word in a table of weights, biases, scales or slopes; a setting
of a layer off by one; another rounding or overflow mode; or one operator of a kernel exchanged (+ and -, < and <=, == and !=, &&
and ||, << and >>, an index off by one). It is compiled and compared with the simulator as `qfx verify` does it. Right is the layer
whose table or setting was changed, or one that runs the changed kernel. A static assertion of the C++ names the layer whose
settings do not fit together; a message about a stream names the stage whose words are too many or too few, or it is about a stream
that the layer reads or writes. Other mutants that do not compile are left out.

Those that differ in nothing have to be equivalent, which is proved by one of two rules: a reason in the list of _equivalent.py,
which says for which change in which line of which layers it holds; or the optimizing compiler makes the same program of them,
byte for byte. What neither proves is run again with sanitizers, as `qfx verify --sanitize` does it, and is missed if they do not
stop it. Exit code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import functools
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules beside this one, however it is started

from benchmarks._equivalent import EQUIVALENT, Mutant
from benchmarks._targets import finish, summary
from qfx.engines.comparison import compare_engines
from qfx.engines.sim_engine import SimulatorEngine
from qfx.errors import ProjectError
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.ir import Graph, GraphBuilder, Value
from qfx.ops import Add, Affine, AvgPool2d, Clamp, Conv2d, Linear, MaxPool2d, Multiply, PReLU, ReLU, Requantize, Reshape
from qfx.ops.sampling import khot_constant, random_codes
from qfx.sim.csim import CSimulator
from qfx.sim.csim_layout import Layout
from qfx.testing.graphs import random_inputs
from qfx.testing.projects import write_project

SAMPLES, COMPILERS, SECONDS = 60, 2, 20
LEAST = 200
"""Mutants found, each with the right layer."""

S4, U4, S6 = FixedType(True, 4, 3), FixedType(False, 4, 2), FixedType(True, 6, 3)
FINE = FixedType(True, 6, 8)
"""Of biases: finer than the products, which are shifted for it."""

OPERATORS = [
    (" + ", " - "),
    (" - ", " + "),
    (" < ", " <= "),
    (" >= ", " > "),
    (" > ", " >= "),
    (" == ", " != "),
    (" != ", " == "),
    (" && ", " || "),
    (" || ", " && "),
    (" << ", " >> "),
    (" >> ", " << "),
    (" += ", " -= "),
    (" * ", " + "),
    (" = 0;", " = 1;"),
    (" - 1", " - 2"),
    (" + 1", " + 2"),
    (", 0)", ", 1)"),
]
"""In kernels."""

MODES = [
    ("AP_RND,", "AP_TRN,"),
    ("AP_RND_CONV,", "AP_RND,"),
    ("AP_SAT>", "AP_WRAP>"),
    ("AP_SAT_SYM>", "AP_SAT>"),
    ("AP_TRN,", "AP_RND,"),
]
"""Of casts."""

INITIAL = re.compile(r"\s*(?:typename|CODE)\b.* = 0;")
"""An initial value that the coding rules ask for. It is overwritten before it is read, as is all before the loop over frames."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: one of `RESULTS`, and the layer, the message or the proof."""

    mutant: Mutant
    result: str
    note: str

    def text(self) -> str:
        """For people."""
        return f"{self.result}: {self.note}\n  {self.mutant.text}"


def networks() -> dict[str, Graph]:
    """Three networks that have every kernel of the common layers, with and without multipliers."""
    return {graph.name: graph for graph in (_plain(), _khot(), _gated())}


def _constant(build: GraphBuilder, name: str, type: FixedType, *shape: int, digits: int | None = None) -> Value:
    seed = sum(map(ord, name))
    codes = khot_constant(name, type, shape, seed, digits).codes if digits else random_codes(type, shape, seed)
    return build.constant(name, type, codes)


def _given(build: GraphBuilder, name: str, type: FixedType, *codes: int) -> Value:
    return build.constant(name, type, np.array(codes, np.int64))


def _pair(build: GraphBuilder, name: str, *shape: int, digits: int | None = None) -> tuple[Value, Value]:
    """Weight and bias."""
    return _constant(build, f"{name}.weight", S4, *shape, digits=digits), _constant(build, f"{name}.bias", FINE, shape[0])


def _plain() -> Graph:
    build = GraphBuilder("plain")
    x = build.input("image", U4, (2, 5, 4))
    weight, bias = _constant(build, "conv.weight", S4, 4, 2, 3, 3), _given(build, "conv.bias", FINE, -24, 8, 16, 5)
    y = build.add("conv", Conv2d(padding=(1, 1)), x, weight, bias)  # on the grid of the products, so that there are ties to round
    y = build.add("cast", Requantize(S6, Rounding.RND_CONV, Overflow.SAT_SYM), y)
    y = build.add("prelu", PReLU(), y, _given(build, "prelu.slope", S4, -6, 3, 5, 7))
    y = build.add("recast", Requantize(S6, Rounding.TRN, Overflow.WRAP), y)
    y = build.add("pool", MaxPool2d((2, 2), (3, 2), (1, 0)), y)  # the last row is under no window
    y = build.add("flat", Reshape((y.size,)), y)
    return build.build(build.add("head", Linear(), y, *_pair(build, "head", 3, y.size)))


def _khot() -> Graph:
    build = GraphBuilder("khot")
    x = build.input("image", S6, (4, 7, 4))
    y = build.add("deep", Conv2d((2, 1), (1, 1), groups=4, digits=2), x, *_pair(build, "deep", 4, 1, 3, 3, digits=2))
    y = build.add("cast", Requantize(S6), y)
    scale, offset = _given(build, "bn.scale", S4, -4, 1, 2, -2), _given(build, "bn.offset", S6, 9, -14, 4, -27)
    y = build.add("relu", ReLU(), build.add("bn", Affine(1), y, scale, offset))
    y = build.add("recast", Requantize(FixedType(False, 4, 3)), y)
    y = build.add("mean", AvgPool2d((3, 2), (1, 1), reciprocal=FixedType(False, 6, 8)), y)
    return build.build(build.add("point", Conv2d(digits=1), y, *_pair(build, "point", 2, 4, 1, 1, digits=1)))


def _gated() -> Graph:
    build = GraphBuilder("gated")
    x = build.input("image", S6, (4, 4, 4))
    y = build.add("group", Conv2d(padding=(0, 1), groups=2), x, *_pair(build, "group", 4, 2, 1, 3))
    y = build.add("cast", Requantize(FixedType(True, 6, 2)), y)
    total = build.add("sum", Add(), y, x)
    limited = build.add("clamp", Clamp(-20, 25, 3), total)
    gate = build.add("gate", Requantize(FixedType(False, 3, 1), Rounding.RND_ZERO), limited)
    return build.build(build.add("product", Multiply(), gate, total))


def mutants(name: str, hls: Path) -> Iterator[Mutant]:
    """Every change of what a project compiles: no function that no layer runs, no setting that no function reads."""
    known, users = functions(hls), function_users(hls)
    for file in ("weights.hpp", "layers.hpp"):
        layer = ""
        for number, line in enumerate((hls / file).read_text().splitlines()):
            if found := re.match(r"struct (\w+) \{|static const .* (\w+)_(?:weight|bias|scale|offset|slope)_table\[", line):
                layer = found[1] or found[2]
            for kind, after in _changes(file, line):
                setting = re.match(r"    static const \w+ (\w+) =", line)
                if setting and not any(f"L::{setting[1]}" in known[f][2] for f, layers in users.items() if layer in layers):
                    continue
                yield Mutant(name, kind, file, number, line, after, frozenset({layer}))
    for function, layers in users.items():
        file, start, text = known[function]
        frames = start + text.count("\n", 0, max(text.find("for (unsigned frame = 0"), 0))
        for number, line in enumerate(text.splitlines(), start):
            if number < frames or INITIAL.match(line):
                continue
            for kind, after in _changes(file, line):
                yield Mutant(name, kind, file, number, line, after, layers)


def _changes(file: str, line: str) -> Iterator[tuple[str, str]]:
    """What a line may become."""
    if file == "weights.hpp":
        for word in re.finditer(r"0x([0-9a-f]+)u", line):
            digits = word[1]
            changed = f"{int(digits, 16) ^ 1:0{len(digits)}x}"
            yield "table", f"{line[: word.start(1)]}{changed}{line[word.end(1) :]}"
    elif file == "layers.hpp":
        if setting := re.match(r"(    static const (?:unsigned|int) \w+ = )(-?\d+);", line):
            for value in (int(setting[2]) + 1, int(setting[2]) - 1):
                yield "setting", f"{setting[1]}{value};"
        for old, new in MODES:
            if old in line and "typedef" in line:
                yield "mode", line.replace(old, new)
    elif not re.match(r"\s*(//|#|template|static_assert)", line):
        code = line.split("//")[0]
        for old, new in OPERATORS:
            for found in re.finditer(re.escape(old), code):
                yield "kernel", line[: found.start()] + new + line[found.end() :]


def functions(hls: Path) -> dict[str, tuple[str, int, str]]:
    """Function template -> the kernel file it stands in, its first line (from 0) and its text."""
    found: dict[str, tuple[str, int, str]] = {}
    for path in sorted((hls / "kernels").iterdir()):
        lines = path.read_text().splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("template <")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            name = re.match(r"[\w:<> ]*?(\w+)\(", lines[start + 1])
            assert name is not None, lines[start + 1]
            found[name[1]] = (f"kernels/{path.name}", start, "\n".join(lines[start:end]))
    return found


def function_users(hls: Path) -> dict[str, frozenset[str]]:
    """Function template -> the layers that run it, by their C++ names."""
    known = functions(hls)
    users: dict[str, set[str]] = {}
    (top,) = (path for path in hls.glob("*.cpp") if path.stem != "testbench")
    for kernel, layer in re.findall(r"(\w+)<layer::(\w+)>", top.read_text()):
        for name in _called(kernel, known):
            users.setdefault(name, set()).add(layer)
    return {name: frozenset(layers) for name, layers in users.items()}


def _called(name: str, known: dict[str, tuple[str, int, str]]) -> set[str]:
    """A function and all that it calls."""
    found, waiting = set[str](), [name]
    while waiting:
        current = waiting.pop()
        found.add(current)
        text = known[current][2]
        waiting += [other for other in known if other not in found and re.search(rf"\b{other}\b *[<(]", text)]
    return found


def choose(found: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many mutants, all kinds and all projects in turn."""
    groups: dict[tuple[str, str], list[Mutant]] = {}
    for mutant in found:
        groups.setdefault((mutant.kind, mutant.project), []).append(mutant)
    shuffle = random.Random(seed)
    for group in groups.values():
        shuffle.shuffle(group)
    chosen: list[Mutant] = []
    while len(chosen) < count and any(groups.values()):
        chosen += [group.pop() for group in groups.values() if group]
    return chosen[:count]


def judge(mutant: Mutant, graph: Graph, project: Path) -> Verdict:
    """Compile a mutant and compare it with the simulator."""
    with tempfile.TemporaryDirectory(prefix="qfx-mutant-") as folder:
        copy = Path(shutil.copytree(project, Path(folder, "project")))
        file = copy / "hls" / mutant.file
        lines = file.read_text().splitlines()
        lines[mutant.line] = mutant.after
        file.write_text("\n".join(lines) + "\n")
        engine = CSimulator(copy, optimize="-O0", seconds=SECONDS)  # it may run forever
        try:
            engine.compile()
        except ProjectError as error:
            return _not_compiled(mutant, str(error))
        result, note = _compared(mutant, graph, engine)
        if result == "missed" and (note := _proof(mutant, copy, project)):
            result = "equivalent"
        elif result == "missed":
            sanitized = CSimulator(copy, optimize="-O1", sanitize=("address", "undefined"), seconds=SECONDS)
            result, note = _compared(mutant, graph, sanitized)
    return Verdict(mutant, result, note)


def _not_compiled(mutant: Mutant, message: str) -> Verdict:
    """A static assertion names the layer for which the kernel was instantiated."""
    failed = re.search(r"static assertion failed: (.*)", message)
    if failed is None:
        return Verdict(mutant, "not compiled", message.splitlines()[0])
    layer = re.search(r"\bL = layer::(\w+)", message)
    return Verdict(mutant, "asserted" if layer and layer[1] in mutant.layers else "wrong layer", failed[1])


def _compared(mutant: Mutant, graph: Graph, engine: CSimulator) -> tuple[str, str]:
    """Result and note of a comparison; `missed` if nothing differs."""
    streams = {name: engine.layout.streams[name] for name in graph.activations()}  # the layers' C++ names
    try:
        report = compare_engines(graph, [SimulatorEngine(graph), engine], random_inputs(graph, SAMPLES, 1))
    except ProjectError as error:
        message = " ".join(str(error).splitlines()).split(": ", 1)[-1]
        layers = _named(message, engine.layout)
        if not layers:
            return ("sanitizer" if "Sanitizer" in message or "runtime error" in message else "stopped"), message
        return ("stream" if layers & mutant.layers else "wrong layer"), message
    if report.first is None:
        return "missed", ""
    return ("found" if streams[report.first.layer] in mutant.layers else "wrong layer"), report.first.layer


def _named(message: str, layout: Layout) -> frozenset[str]:
    """The layers that a message about streams names: that of the stage whose words are too many or too few, or both ends."""
    stage = re.search(r": (\S+<.*?>) (?:reads|writes) (?:more|fewer) than", message)
    stream = re.search(r"stream '(\w+)'", message)
    flow = layout.flows.get(stream[1]) if stream else None
    stages = [stage[1]] if stage else [flow.writer, flow.reader] if flow else []
    return frozenset(re.findall(r"layer::(\w+)", " ".join(stages)))


def _proof(mutant: Mutant, copy: Path, project: Path) -> str:
    """Why a mutant is equivalent: the list says so, or the compiler makes the same program of it; empty if it is not."""
    reason = next((known.reason for known in EQUIVALENT if known.holds(mutant)), "")
    if not reason and _program(copy) == _original(project):
        return "the optimized program is the same, byte for byte"
    return reason


@functools.cache
def _original(project: Path) -> bytes:
    return _program(project)


def _program(project: Path) -> bytes:
    engine = CSimulator(project, optimize="-O2", flags=["-s"])  # the program lives as long as this
    return engine.compile().read_bytes()


def measure(count: int, seed: int, only: str, console: Console) -> list[Verdict]:
    """Plant and judge `count` mutants; prints every one that was not simply found, as it is judged."""
    with tempfile.TemporaryDirectory(prefix="qfx-mutate-") as name:
        folder, graphs = Path(name), networks()
        for graph in graphs.values():
            write_project(graph, folder / graph.name)
        found = [mutant for name in graphs for mutant in mutants(name, folder / name / "hls")]
        chosen = choose([mutant for mutant in found if re.search(only, mutant.text)], count, seed)
        console.print(f"{len(found):,} possible changes, {len(chosen)} chosen")
        with ThreadPoolExecutor(COMPILERS) as pool:
            jobs = [pool.submit(functools.partial(judge, m, graphs[m.project], folder / m.project)) for m in chosen]
            verdicts: list[Verdict] = []
            for job in track(jobs, "compile and compare", console=console, transient=True):
                verdicts.append(job.result())
                if verdicts[-1].result not in PLAIN:
                    console.print(verdicts[-1].text(), markup=False)
            return verdicts


def rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """One row per kind of change."""
    return [
        {"kind": kind, "mutants": len(found), **{result: sum(v.result == result for v in found) for result in RESULTS}}
        for kind in ("table", "setting", "mode", "kernel")
        if (found := [verdict for verdict in verdicts if verdict.mutant.kind == kind])
    ]


RESULTS = ("found", "asserted", "stream", "sanitizer", "stopped", "wrong layer", "not compiled", "equivalent", "missed")
"""`found`: a value of the layer differs. `asserted`: it does not compile, and a static assertion names the layer. `stream`: the
program stopped with a message about a stream of the layer. `sanitizer`: it read or wrote beyond an array. `stopped`: any other
message, which names no layer."""

PLAIN = ("found", "asserted", "stream", "not compiled")
"""Results with nothing to say of the single mutant."""


def targets(verdicts: Sequence[Verdict], count: int) -> list[dict[str, Any]]:
    """What is promised."""
    counts = Counter(verdict.result for verdict in verdicts)
    return [
        {"name": "mutants that nothing found", "value": counts["missed"], "target": 0, "sense": "<="},
        {"name": "mutants found in a wrong layer", "value": counts["wrong layer"], "target": 0, "sense": "<="},
        {"name": "mutants stopped by a message that names no layer", "value": counts["stopped"], "target": 0, "sense": "<="},
        {
            "name": "mutants found, the right layer named",
            "value": counts["found"] + counts["asserted"] + counts["stream"],
            "target": min(LEAST, count // 2),
            "sense": ">=",
        },
    ]


def show(verdicts: Sequence[Verdict], found: Sequence[dict[str, Any]], seconds: float, console: Console) -> None:
    """Print the summary."""
    shown = rows(verdicts)
    table = Table(*shown[0], title=f"{len(verdicts)} changes of generated C++, {seconds:.0f} s")
    for row in shown:
        table.add_row(*map(str, row.values()))
    console.print(table)
    for entry in found:
        console.print(summary(entry))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description="Small errors planted in generated C++ are found, each in its layer.")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the choice")
    parser.add_argument(
        "--only", default="", metavar="REGEX", help="found in `project file:line`, the kind, or the line as it becomes"
    )
    parser.add_argument("--json", type=Path, help="also write the rows and targets here")
    options = parser.parse_args(arguments)
    console, start = Console(highlight=False, soft_wrap=True), time.monotonic()
    verdicts = measure(options.count, options.seed, options.only, console)
    found = targets(verdicts, options.count)
    show(verdicts, found, time.monotonic() - start, console)
    return finish(options.json, rows(verdicts), found)


if __name__ == "__main__":
    sys.exit(main())
