"""Networks of several inputs and outputs as C++: a port for each, and the data of each."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from qfx.errors import ExportError, ProjectError
from qfx.export.hls import write_hls
from qfx.export.hls.board import load_board
from qfx.export.hls.design import design
from qfx.export.hls.validator import validate
from qfx.ir import GraphBuilder
from qfx.ops import ReLU
from qfx.sim import Simulator
from qfx.sim.csim import CSimulator
from qfx.sim.headers import find_ap_types
from qfx.testing.projects import frames, write_project
from tests.hls.build import S6, assert_equal, several_ports

GRAPH = several_ports()
INPUTS = ["s_in_left_image", "s_in_right_n2"]
OUTPUTS = ["m_out_join", "m_out_quant", "m_out_flat"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(GRAPH, tmp_path_factory.mktemp("several") / "net")


def test_a_port_for_each_with_a_name_of_its_own() -> None:
    plan = design(GRAPH)
    assert [port.name for port in plan.inputs] == INPUTS
    assert [port.name for port in plan.outputs] == OUTPUTS
    beats = [port.beat for port in (*plan.inputs, *plan.outputs)]
    assert beats[:2] == ["input_beat_left_image", "input_beat_right"] and len(set(beats)) == 5


def test_an_output_that_goes_on_inside_passes_a_fork(project: Path) -> None:
    text = (project / "hls/several.cpp").read_text()
    assert "fork<value::quant>(quant, quant_copy0, quant_copy1, frames);" in text
    assert "axi_out<port::m_out_quant>(quant_copy1, m_out_quant, frames);" in text
    assert text.count("#pragma HLS INTERFACE axis port=") == 5
    assert "left.image: an input, ap_ufixed<4, 2>, 2 x 4 x 3" in text


def test_the_validator_is_content(project: Path) -> None:
    assert validate(project / "hls") == []


def test_every_value_equals_the_simulator(project: Path) -> None:
    engine = CSimulator(project, optimize="-O0", flags=["-Wall", "-Wextra", "-Werror"])
    assert_equal(GRAPH, engine.run(frames(GRAPH, 5)), frames(GRAPH, 5))
    none = engine.run({name: codes[:0] for name, codes in frames(GRAPH, 1).items()})
    assert {len(codes) for codes in none.values()} == {0}


def test_one_port_of_a_kind_keeps_its_name(tmp_path: Path) -> None:
    build = GraphBuilder("one")
    x = build.input("x", S6, (2, 2, 2))
    graph = build.build(build.add("a", ReLU(), x), build.add("b", ReLU(), x))
    project = write_project(graph, tmp_path)
    layout = json.loads((project / "hls/layout.json").read_text())
    assert layout["input"] == {"value": "x", "slot_width": 8, "slots": 8} and [entry["port"] for entry in layout["outputs"]] == [
        "m_out_a",
        "m_out_b",
    ]
    assert (tmp_path / "hls/data/input.dat").is_file() and (tmp_path / "hls/data/m_out_b.dat").is_file()
    assert_equal(graph, CSimulator(project, optimize="-O0").run(frames(graph, 2)), frames(graph, 2))


def test_the_readme_lists_the_ports(project: Path) -> None:
    text = (project / "hls/README.md").read_text()
    assert "| `s_in_right_n2` | `right`, ap_fixed<6, 3>, in | 8 codes of 8 bits |" in text
    assert all(f"| `{name}` |" in text for name in (*INPUTS, *OUTPUTS)) and "Serve all ports at the same time" in text


def test_the_testbench_reads_a_file_per_port_and_names_the_wrong_one(project: Path, tmp_path: Path) -> None:
    hls = project / "hls"
    assert sorted(path.stem for path in (hls / "data").iterdir()) == sorted([*INPUTS, *OUTPUTS])
    stubs = Path(__file__).parents[2] / "hls_templates/csim"
    command = ["g++", "-std=c++14", "-O0", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", f"-I{hls}", "-isystem"]
    command += [str(stubs), "-isystem", str(find_ap_types().path), str(hls / "several.cpp"), str(hls / "testbench.cpp")]
    subprocess.run([*command, "-o", str(tmp_path / "testbench")], check=True)
    (tmp_path / "data").mkdir()
    for path in (hls / "data").iterdir():
        (tmp_path / "data" / path.name).write_text(path.read_text())

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["./testbench"], cwd=tmp_path, capture_output=True, text=True)

    good = run()
    assert (good.returncode, good.stdout) == (0, f"{2 * 3 * (4 + 48 + 4)} codes compared, 0 wrong\n")
    data = tmp_path / "data/m_out_quant.dat"
    codes = [int(code) for code in data.read_text().split()]
    data.write_text("\n".join(map(str, [codes[0] ^ 1, *codes[1:]])))
    bad = run()
    assert bad.returncode == 1 and bad.stderr.startswith("run 0, code 0: ") and "at m_out_quant" in bad.stderr
    data.unlink()
    assert run().stderr == "m_out_quant.dat: 0 codes, wanted 144\n"


def test_a_port_of_another_width_is_found(tmp_path: Path) -> None:
    project = write_project(GRAPH, tmp_path)
    top = project / "hls/several.cpp"
    text = top.read_text()
    late = "    axi_out<port::m_out_quant>(quant_copy1, m_out_quant, frames);\n"
    top.write_text(text.replace(late, late.replace("frames);", "frames - 1);")))
    with pytest.raises(ProjectError, match=r"the C\+\+ sent 48 codes of 'quant', wanted 96|left at the end"):
        CSimulator(project, optimize="-O0").run(frames(GRAPH, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"golden_inputs": np.zeros((2, 4), np.int64)}, "the network has 2 inputs; give the golden inputs of each by its name"),
        ({"golden_inputs": {"right": np.zeros((2, 4), np.int64)}}, "the testbench wants golden inputs: codes of 'left.image'"),
        ({"golden_inputs": frames(GRAPH, 1)}, "golden inputs have 1 frames, golden outputs 2"),
    ],
)
def test_golden_vectors_that_do_not_fit(options: dict[str, object], message: str, tmp_path: Path) -> None:
    inputs = frames(GRAPH, 2)
    arguments = {"golden_inputs": inputs, "golden_outputs": Simulator(GRAPH).run(inputs)} | options
    with pytest.raises(ExportError, match=message):
        write_hls(design(GRAPH), tmp_path, load_board("ultra96"), **arguments)  # type: ignore[arg-type]
