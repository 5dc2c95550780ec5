"""The registers beside the accelerator: simulated, synthesised, and the hash by which a driver knows the design."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from benchmarks._yosys import find_yosys
from qfx.errors import ToolMissingError
from qfx.export.hls.board import load_board
from qfx.export.hls.design import design
from qfx.export.hls.monitor import MAGIC, REGISTERS, built_from, design_hash, project_hash
from qfx.export.hls.render import render
from qfx.ir import Graph
from qfx.ops import ReLU
from qfx.testing.projects import write_project
from tests.hls.build import S6, chain, image, several_ports

BENCH = Path(__file__).with_name("monitor_bench.v")
DEPLOY = Path(__file__).parents[2] / "docs" / "guides" / "deploy.md"
FRAMES = 4
ADDRESS = {register.name: register.address for register in REGISTERS}
GRAPHS = {
    "one beat": chain("net", image(S6, 2, 2, 2), (ReLU(), [])),
    "nine beats": chain("net", image(S6, 8, 3, 3), (ReLU(), [])),
    "several ports": several_ports(),
}


def rendered(graph: Graph, clock_ns: float = 5.0) -> dict[str, str]:
    return render(design(graph), load_board("ultra96"), clock_ns, 2)


def simulate(graph: Graph, folder: Path, seed: int, mode: int) -> dict[str, list[list[int]]]:
    """What the test bench saw, by kind of line."""
    if shutil.which("iverilog") is None:
        pytest.skip("the monitor's simulation needs iverilog; install the package iverilog")
    plan = design(graph)
    (folder / "monitor.v").write_text(rendered(graph)["monitor.v"])
    defines = {
        "DUT": f"{plan.name}_monitor",
        "FRAMES": FRAMES,
        "IN_BEATS": plan.inputs[0].frame_beats,
        "OUT_BEATS": plan.outputs[0].frame_beats,
    }
    options = [f"-D{name}={value}" for name, value in defines.items()]
    run(["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-o", "bench", *options, str(BENCH), "monitor.v"], folder)
    text = run(["vvp", "-N", "bench", f"+seed={seed}", f"+mode={mode}"], folder)
    assert "error" not in text, text
    assert text.endswith("done\n") or "\ndone\n" in text
    lines: defaultdict[str, list[list[int]]] = defaultdict(list)
    for kind, *numbers in map(str.split, text.splitlines()):
        if kind in {"in", "out", "read", "writes", "jump"}:
            lines[kind].append([int(number) for number in numbers])
    return lines


def run(command: list[str], folder: Path) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and result.stderr == "", result.stdout + result.stderr
    return result.stdout


def expected(lines: dict[str, list[list[int]]], graph: Graph, reads: list[list[int]]) -> list[int]:
    """What each read must give, from the cycles of the beats: counts as they were two cycles before."""
    plan = design(graph)
    in_beats, out_beats = plan.inputs[0].frame_beats, plan.outputs[0].frame_beats
    ins, outs = [line[0] for line in lines["in"]], [line[0] for line in lines["out"]]
    firsts, lasts = ins[:: FRAMES * in_beats], [cycle for cycle, last in lines["out"] if last]
    starts = [max(first, last + 1) for first, last in zip(firsts, [-1, *lasts], strict=False)]
    jumps = {line[0]: line[1] for line in lines["jump"]}
    cycles = [last - start + 1 + jumps.get(batch, 0) for batch, (start, last) in enumerate(zip(starts, lasts, strict=True))]
    value = design_hash(rendered(graph))
    held, answers = 0, list[int]()
    for cycle, address, *_ in reads:
        seen = cycle - 2
        ended = sum(last <= seen for last in lasts)
        total = cycles[ended - 1] if ended else 0
        known = {
            "magic": MAGIC,
            "hash_low": value & 0xFFFFFFFF,
            "hash_high": value >> 32,
            "frames_in": sum(beat <= seen for beat in ins) // in_beats,
            "frames_out": sum(beat <= seen for beat in outs) // out_beats,
            "cycles_low": total & 0xFFFFFFFF,
            "cycles_high": held,
            "status": int(any(first <= seen < last for first, last in zip(firsts, lasts, strict=True))),
        }
        name = next((name for name, place in ADDRESS.items() if place == address), None)
        answers.append(known[name] if name else 0)
        if name == "cycles_low":
            held = total >> 32
    return answers


@pytest.mark.parametrize("mode", [0, 1, 2], ids=["batch after batch", "batches overlap", "output comes early"])
@pytest.mark.parametrize("name", GRAPHS)
def test_every_read_is_what_the_beats_say(name: str, mode: int, tmp_path: Path) -> None:
    for seed in range(1, 6):
        lines = simulate(GRAPHS[name], tmp_path, seed, mode)
        reads = lines["read"]
        assert [data for _, _, data, _ in reads] == expected(lines, GRAPHS[name], reads)
        assert {response for *_, response in reads} == {0}
        assert lines["writes"][0][0] > 0 and lines["jump"]
        final = {address: data for _, address, data, _ in reads[-9:]}
        assert final[ADDRESS["frames_in"]] == final[ADDRESS["frames_out"]] == 3 * FRAMES
        assert final[ADDRESS["status"]] == 0


def test_a_synthesis_tool_takes_it(tmp_path: Path) -> None:
    try:
        yosys = find_yosys()
    except ToolMissingError as error:
        pytest.skip(str(error))
    (tmp_path / "monitor.v").write_text(rendered(GRAPHS["nine beats"])["monitor.v"])
    script = "read_verilog monitor.v; hierarchy -check -top net_monitor; proc; check -assert; stat"
    text = run([*yosys.command, "-p", script], tmp_path)
    assert "Warning" not in text and not re.search(r"\$_?d?latch", text, re.I)
    assert "$adff" not in text and re.search(r"\$s?dff", text)


def test_the_hash_is_that_of_the_files(tmp_path: Path) -> None:
    hls = write_project(GRAPHS["one beat"], tmp_path) / "hls"
    value = project_hash(hls)
    assert f"64'h{value:016x}" in (hls / "monitor.v").read_text()
    assert json.loads((hls / "layout.json").read_text())["hash"] == f"{value:016x}"
    (hls / "build").mkdir()
    (hls / "build/net.cpp").write_text("left by a tool")
    (hls / "README.md").write_text("notes")
    assert project_hash(hls) == value
    (hls / "kernels/relu.hpp").write_text((hls / "kernels/relu.hpp").read_text() + "\n")
    assert project_hash(hls) != value


def test_the_documented_command_gives_the_hash(tmp_path: Path) -> None:
    hls = write_project(GRAPHS["one beat"], tmp_path) / "hls"
    command = re.search(r"^```sh\n(.*sha256sum.*)\n```$", DEPLOY.read_text(), re.M)
    assert command is not None
    assert run(["sh", "-c", command[1]], hls).strip() == f"{project_hash(hls):016x}"


def test_the_hash_is_that_of_what_synthesis_reads() -> None:
    files = rendered(GRAPHS["one beat"])
    assert files == rendered(GRAPHS["one beat"])
    named = ["hls.tcl", "hls_config.cfg", "kernels/axi.hpp", "kernels/lanes.hpp", "kernels/relu.hpp", "layers.hpp"]
    assert built_from(files) == [*named, "net.cpp", "net.hpp", "types.hpp", "weights.hpp"]
    assert design_hash(files) != design_hash(rendered(GRAPHS["one beat"], clock_ns=4.0))
    assert design_hash(files) == design_hash(files | {"testbench.cpp": "", "monitor.v": ""})


def test_the_guide_and_the_readme_have_every_register() -> None:
    rows = [f"| `0x{register.address:02x}` | `{register.name}` | {register.meaning} |" for register in REGISTERS]
    for text in (DEPLOY.read_text(), rendered(GRAPHS["one beat"])["README.md"]):
        assert [row for row in rows if row not in text] == []
