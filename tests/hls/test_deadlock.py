"""The exported program with a thread per stage and FIFOs of the depths that its pragmas state: does it run to its end?"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from qfx.fixed import FixedType
from qfx.ir import Graph, GraphBuilder
from qfx.ops import Add, AvgPool2d, Concat, Multiply, Requantize, Shift, Upsample
from qfx.sim.headers import find_ap_types
from tests.hls.build import U4, several_ports, small_network, write_project

HERE = Path(__file__).parent
CSIM = HERE.parents[1] / "hls_templates/csim"
STREAM = re.compile(r'(hls::stream<[^\n]*> \w+\("\w+")\);\n#pragma HLS STREAM variable=\w+ depth=(\d+)')
CALL = re.compile(r"^    (\w+<[^\n]*\(.*\);)$", re.MULTILINE)


def gate() -> Graph:
    """`x` times a factor that is known after the whole frame, joined with `x` and an enlarged copy of a part of it."""
    build = GraphBuilder("gate")
    x = build.input("x", U4, (4, 4, 4))
    factor = build.add("factor", Requantize(U4), build.add("mean", AvgPool2d((4, 4), (4, 4)), x))
    gated = build.add("gated", Multiply(), x, factor)
    whole = build.add("whole", Upsample((4, 4)), factor)
    return build.build(build.add("all", Concat(), x, gated, whole))


def run(graph: Graph, folder: Path, least_depth: bool = False, patience: int = 20) -> subprocess.CompletedProcess[str]:
    """The testbench with bounded streams; all of depth 1 if `least_depth`."""
    hls = write_project(graph, folder) / "hls"
    top = hls / f"{graph.name}.cpp"
    text = STREAM.sub(lambda found: f"{found[1]}, {1 if least_depth else found[2]});", top.read_text())
    text, stages = CALL.subn(r"    stages.emplace_back([&] { \1 });", text)
    assert stages == len(CALL.findall(top.read_text())) > 3
    text = text.replace("#pragma HLS DATAFLOW", "    std::vector<std::thread> stages;")
    end = text.rindex("}")
    text = f"#include <thread>\n#include <vector>\n{text[:end]}    for (std::thread &stage : stages) {{ stage.join(); }}\n}}\n"
    top.write_text(text)
    command = ["g++", "-std=c++14", "-O0", "-w", "-pthread", f"-DPATIENCE={patience}", f"-I{HERE / 'bounded'}", f"-I{hls}"]
    command += ["-isystem", str(CSIM), "-isystem", str(find_ap_types(None).path), str(top), str(hls / "testbench.cpp")]
    subprocess.run([*command, "-o", str(folder / "program")], check=True)
    return subprocess.run([str(folder / "program")], cwd=hls, capture_output=True, text=True)


def rows() -> Graph:
    """Two branches of `x`, one after the other by rows, which takes all of one before any of the other; then `x` by columns."""
    build = GraphBuilder("rows")
    x = build.input("x", U4, (4, 3, 4))
    pooled = build.add("pooled", Requantize(U4), build.add("mean", AvgPool2d((3, 1), (3, 1), reciprocal=FixedType(False, 8, 9)), x))
    below = build.add("below", Concat(1), build.add("less", Add(minus=True), x, x), x, pooled, x)
    return build.build(build.add("beside", Concat(2), below, build.add("half", Shift(-1), below)))


@pytest.mark.parametrize("graph", [gate, small_network, several_ports, rows])
def test_the_depths_are_enough(graph: object, tmp_path: Path) -> None:
    result = run(graph(), tmp_path)  # type: ignore[operator]
    assert result.returncode == 0, result.stderr
    assert " codes compared, 0 wrong" in result.stdout


def test_shallow_streams_deadlock(tmp_path: Path) -> None:
    """So the test sees one where there is one."""
    result = run(gate(), tmp_path, least_depth=True, patience=2)
    assert result.returncode == 4 and "deadlock: stream " in result.stderr
