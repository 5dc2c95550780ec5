"""The exporter: the printed top, streams and forks, names, packed tables, and every error."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import jinja2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfx.errors import ExportError
from qfx.export.hls import write_hls
from qfx.export.hls.board import load_board
from qfx.export.hls.design import Design, design
from qfx.export.hls.folding import lanes
from qfx.export.hls.names import RESERVED, identifier, unique_identifiers
from qfx.export.hls.render import Renderer, layout, render
from qfx.export.hls.signed_digits import naf
from qfx.fixed import FixedType
from qfx.ir import Graph, GraphBuilder
from qfx.ops import Add, Affine, Conv2d, PReLU, ReLU, Requantize, Reshape
from qfx.ops.sampling import constant, khot_constant
from qfx.testing.choices import Seeded
from qfx.testing.projects import frames, random_folding, write_project
from tests.hls.build import S6, U4, chain, image, several_ports, small_network
from tests.hls.test_folding import convolutions, several_pixels
from tests.hls.test_new_kernels import joins, wide

GOLDEN = Path(__file__).parents[1] / "golden"


def forked(readers: int) -> Graph:
    """`x` added to itself again and again: x has one reader more than there are adds."""
    build = GraphBuilder("forked")
    x = build.input("x", U4, (4, 2, 3))
    total = x
    for index in range(readers - 1):
        total = build.add(f"sum{index}", Add(), total, x)
    return build.build(total)


def write(graph: Graph, folder: Path, **options: object) -> list[Path]:
    inputs = frames(graph, 2)[graph.inputs[0]]
    outputs = np.zeros((2, *graph.values[graph.outputs[0]].shape), np.int64)
    arguments = {"golden_inputs": inputs, "golden_outputs": outputs} | options
    return write_hls(design(graph), folder, load_board("ultra96"), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "digits"), [("small.cpp", None), ("small_khot.cpp", 2)])
def test_the_top_reads_like_the_network(name: str, digits: int | None, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = (write_project(small_network(digits), tmp_path) / "hls/small.cpp").read_text()
    if request.config.getoption("--update-golden"):
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text(), "the top changed; look at it, then run pytest --update-golden"


def test_the_files_of_a_project(tmp_path: Path) -> None:
    names = write(chain("net", image(S6, 2, 2, 2), (ReLU(), [])), tmp_path)
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()} == set(names)
    kernels = {f"kernels/{name}.hpp" for name in ("axi", "lanes", "relu")}
    assert {str(name) for name in names} == kernels | {
        *("net.cpp", "net.hpp", "layers.hpp", "types.hpp", "weights.hpp", "testbench.cpp", "data/input.dat", "data/output.dat"),
        *("hls.tcl", "hls_config.cfg", "Makefile", "README.md", "folding.json", "layout.json", "schedule.txt", "selfcheck.cfg"),
        "monitor.v",
        *(f"selfcheck/{name}" for name in ("casts.cpp", "casts.hpp", "golden.hpp", "testbench.cpp")),
    }
    data = (tmp_path / "data/input.dat").read_text().split()
    codes = frames(chain("net", image(S6, 2, 2, 2), (ReLU(), [])), 2)["x"]
    assert [int(code) for code in data] == codes.transpose(0, 2, 3, 1).ravel().tolist()


def test_the_layout_says_what_each_stream_carries_and_between_which_stages() -> None:
    plan = design(forked(2))
    flows: Any = layout(plan)["flows"]
    assert list(flows) == ["s_in", *(stream.name for stream in plan.streams), "m_out"]
    assert {name: flows[name]["words"] for name in flows if name in {s.name for s in plan.streams}} == {
        stream.name: stream.frame_words for stream in plan.streams
    }
    assert flows["x"] == {"words": 6, "writer": "axi_in<port::s_in>", "reader": "fork<value::x>"}
    assert (flows["s_in"]["writer"], flows["s_in"]["reader"]) == ("", "axi_in<port::s_in>")
    assert (flows["m_out"]["writer"], flows["m_out"]["reader"]) == ("axi_out<port::m_out>", "")


@pytest.mark.parametrize("readers", [2, 3, 5])
def test_a_fork_gives_each_reader_a_stream(readers: int) -> None:
    plan = design(forked(readers))
    copies = {stream.name: stream for stream in plan.streams if "_copy" in stream.name or "_rest" in stream.name}
    assert sum("_copy" in name for name in copies) == readers
    assert all(stream.frame_words == 6 for stream in copies.values())
    assert_each_stream_once(plan)


def assert_each_stream_once(plan: Design) -> None:
    written = [stream.name for stage in plan.stages for stream in stage.writes]
    read = [name for stage in plan.stages for name in (*stage.reads, stage.port) if name]
    assert sorted([*written, "m_out", "s_in"]) == sorted([*read]) and len(set(written)) == len(written)


def test_a_reshape_of_one_pixel_is_its_operand_s_stream() -> None:
    plan = design(chain("net", image(S6, 4, 1, 1), (Reshape((4,)), []), (ReLU(), [])))
    assert [(stage.kernel.function, stage.traits) for stage in plan.stages][1:-1] == [("relu", ("step1",))]
    assert plan.wiring.wires["step0"].stream == "x"


@pytest.mark.parametrize(("channels", "wanted"), [(1, 1), (7, 7), (8, 8), (10, 5), (11, 1), (12, 6), (16, 8), (64, 8)])
def test_lanes(channels: int, wanted: int) -> None:
    assert lanes(channels) == wanted


def test_names_are_unique_and_no_words_of_the_language() -> None:
    names = ["a.b", "a_b", "class", "in", "a__b", "3x3", "a.b_copy0", "a.b_windows", "relu", "A", "é", "layer", "a_b_v", "frames"]
    found = unique_identifiers(names, {"a_b"})
    assert (
        found["a.b"] == "a_b_n2" and found["3x3"] == "n3x3" and found["class"] == "class_v" and found["a.b_copy0"] == "a_b_copy0_v"
    )
    assert len(set(found.values())) == len(names) and not set(found.values()) & RESERVED


@given(st.text(max_size=20))
def test_an_identifier_is_one(name: str) -> None:
    assert identifier(name).isidentifier() and identifier(name).isascii() and identifier(name) not in RESERVED


def test_network_and_layer_names_that_clash(tmp_path: Path) -> None:
    build = GraphBuilder("main")
    x = build.input("in", S6, (3, 2, 2))
    y = build.add("relu", ReLU(), x)
    y = build.add("frames", Requantize(S6), y)
    y = build.add("main", Add(), y, x)
    write(build.build(y), tmp_path)
    text = (tmp_path / "main_v.cpp").read_text()
    assert "void main_v(" in text and "relu<layer::relu_v>(in_v_copy0_by3, relu_v, frames);" in text


MEMBER = re.compile(r"^    (?:typedef .*|static .*?)\b(\w+)(?:;| = |\()", re.MULTILINE)


@pytest.mark.parametrize(
    "graph", [small_network(), small_network(2), several_ports(), joins(), wide(), convolutions(), several_pixels()]
)
def test_no_layer_is_named_as_a_member_of_its_struct(graph: Graph) -> None:
    """`struct scale { ... scale(...) }` would be a constructor."""
    for seed in range(4):
        files = render(design(graph, random_folding(graph, Seeded(seed))), load_board("ultra96"), 5.0, 1)
        members = set(MEMBER.findall(files["types.hpp"] + files["layers.hpp"]))
        assert len(members) > 20
        assert [name for name in sorted(members) if identifier(name) == name] == []


@given(st.integers(-(1 << 40), 1 << 40))
def test_naf_is_the_code_with_no_neighbouring_digits(code: int) -> None:
    digits = naf(code)
    assert sum(-(1 << shift) if negative else 1 << shift for shift, negative in digits) == code
    shifts = [shift for shift, _ in digits]
    assert all(b - a >= 2 for a, b in itertools.pairwise(shifts))


def test_an_undefined_name_in_a_template_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'product' is undefined"):
        Renderer().template("kernels/linear.hpp")


def test_boards() -> None:
    board = load_board("ultra96")
    assert (board.part, board.clock_ns, board.resources["dsp"]) == ("xczu3eg-sbva484-1-i", 5.333, 360)
    with pytest.raises(ExportError, match="there is no board 'zcu999'; known: ultra96"):
        load_board("zcu999")


def test_clock_and_board_are_options(tmp_path: Path) -> None:
    write(chain("net", image(S6, 2, 2, 2), (ReLU(), [])), tmp_path, clock_ns=4.0)
    assert "clock=4.0ns\n" in (tmp_path / "hls_config.cfg").read_text()
    assert "create_clock -period 4.0 " in (tmp_path / "hls.tcl").read_text()


@dataclass(frozen=True)
class Cube(ReLU):
    """An op that the exporter does not know."""

    kind: ClassVar[str] = "cube"


def with_outputs(*outputs: str) -> Graph:
    build = GraphBuilder("n")
    graph = build.build(build.add("y", ReLU(), build.input("x", S6, (2, 2, 2))))
    graph.outputs = [*outputs]
    return graph


def no_input() -> Graph:
    build = GraphBuilder("n")
    constant_value = constant("c", S6, (2, 2, 2), 1)
    y = build.add("y", ReLU(), build.constant("c", S6, constant_value.codes))
    return build.build(y)


def unread() -> Graph:
    build = GraphBuilder("unread")
    x = build.input("x", S6, (2, 2, 2))
    build.add("lost", ReLU(), x)
    return build.build(build.add("y", ReLU(), x))


WIDE_SHIFT = FixedType(True, 4, -500)
BAD_GRAPHS = [
    (
        lambda: chain("n", image(S6, 2, 2, 2), (Cube(), [])),
        "node 'step0': the HLS export has no kernel for cube; it has add",
    ),
    (lambda: with_outputs("y", "x"), "output 'x' of graph 'n' is not computed; only what a layer computes can be an output"),
    (lambda: with_outputs("y", "y"), "graph 'n' has the output 'y' 2 times; give it once"),
    (unread, "value 'lost' is computed but nothing reads it and it is no output; remove it from the network"),
    (
        lambda: chain("n", image(FixedType(True, 4, 512), 2), (Requantize(replace(WIDE_SHIFT, frac=-512)), [])),
        "node 'step0' rounds 1024 bits away; the limit is 1023, the width of an ap_fixed",
    ),
    (
        lambda: chain("n", image(S6, 4), (PReLU(20), [constant("slope", FixedType(True, 50, 3), (4,), 1)])),
        r"constant 'step0.slope': \d+ digits of 8 bits exceed the 64 bits of a table entry; use at most 8 digits",
    ),
]


@pytest.mark.parametrize(("graph", "message"), BAD_GRAPHS, ids=[str(i) for i in range(len(BAD_GRAPHS))])
def test_graphs_that_are_refused(graph: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        write(graph(), tmp_path)  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


def test_a_graph_without_inputs_is_refused() -> None:
    with pytest.raises(ExportError, match="graph 'n' has no input; an accelerator computes something from one or more"):
        design(no_input())


def test_products_too_wide_for_an_ap_int() -> None:
    scale = khot_constant("scale", FixedType(True, 8, 3), (2,), 3, 2)
    graph = chain("n", image(S6, 2), (Affine(2), [scale, constant("offset", S6, (2,), 1)]))
    assert design(graph).stages[1].kernel.function == "affine_khot"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qfx.export.hls.stage_settings.MAX_AP_WIDTH", 10)
        with pytest.raises(ExportError, match=r"node 'step0': its product takes \d+ bits, above the 10 of an ap_int"):
            design(graph)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"golden_inputs": {}}, "the testbench wants golden inputs: codes of 'x', at least one frame"),
        ({"golden_outputs": np.zeros((0, 2, 2, 2), np.int64)}, "the testbench wants golden outputs: codes of 'step0'"),
        ({"golden_outputs": np.zeros((2, 3), np.int64)}, r"golden outputs have shape \(2, 3\); 'step0' wants \(frames, 2, 2, 2\)"),
        ({"golden_outputs": np.zeros((1, 2, 2, 2), np.int64)}, "golden inputs have 2 frames, golden outputs 1"),
    ],
)
def test_golden_vectors_that_do_not_fit(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        write(chain("net", image(S6, 2, 2, 2), (ReLU(), [])), tmp_path, **options)


def test_depthwise_with_one_group_is_plain() -> None:
    plan = design(chain("net", image(S6, 1, 3, 3), (Conv2d(), [constant("w", S6, (1, 1, 2, 2), 1)])))
    assert {stage.kernel.function for stage in plan.stages if stage.node} == {"sliding_window", "conv2d"}


def test_kernels_state_what_they_compute_take_and_last(tmp_path: Path) -> None:
    """Equation and cycles stand in the template, latency and cost are those of the schedule's table."""
    folder = write_project(small_network(), tmp_path) / "hls/kernels"
    heads = {path.name: path.read_text().split("#pragma once")[0] for path in folder.iterdir()}
    parts = {"lanes.hpp", "matrix_vector.hpp", "multiply.hpp"}
    assert all("Cycles per frame" in text or "cycles per frame" in text for name, text in heads.items() if name not in parts)
    for name in heads.keys() - parts:
        assert "// Latency: " in heads[name] and "// Resources: " in heads[name], name
    assert "// Latency: 8 cycles and a cycle per level of the adder tree, declared" in heads["conv2d.hpp"]
