"""The validator: exported projects are clean, and each rule sees the violation that is planted for it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from qfx.errors import ProjectError, ToolMissingError
from qfx.export.hls.validator import multiplications, validate
from qfx.fixed import FixedType
from qfx.testing.projects import write_project
from tests.hls.build import averaged, small_network

RELU, TOP, ADD = "kernels/relu.hpp", "small.cpp", "kernels/add.hpp"
RESULT = "typename L::out::code result = 0;"
LOOP = "for (unsigned position = 0; position < L::in::WORDS; ++position) {"
MULTIPLY = "kernels/multiply.hpp"
WINDOW = "kernels/sliding_window.hpp"
CODE4 = "typedef ap_int<4> constant;"
RELU_CALL = "    relu<layer::stem_relu>(stem_bn, stem_relu, frames);\n"
DEPTH = "#pragma HLS STREAM variable=stem_bn depth=3\n"

PLANTED = [
    # rule, file, what stands there, what is put in its place, part of the message
    ("syntax", RELU, LOOP, LOOP + " )", "cannot be parsed"),
    ("synthesis-branch", RELU, RESULT, f"{RESULT}\n#ifdef __SYNTHESIS__\n#endif", "only #include and #pragma"),
    ("synthesis-branch", RELU, "#pragma once", "#pragma once\n#define WIDE 3", "only #include and #pragma"),
    ("float", RELU, RESULT, f"{RESULT} double d = 0;", "double is no type of a data path"),
    ("float", RELU, RESULT, "typename L::out::code result = 0.5;", "the literal 0.5"),
    ("auto", RELU, RESULT, "auto result = code;", "a result has no named type"),
    ("native-int", RELU, RESULT, f"{RESULT} int sum = 0;", "a local is int"),
    ("native-int", RELU, RESULT, f"{RESULT} unsigned sum = code;", "counter 'sum' takes a value from the data path: code"),
    ("native-int", RELU, RESULT, f"{RESULT} unsigned sum = 0; sum = x.read();", "takes a value from the data path"),
    ("native-int", RELU, "ap_uint<32> frames", "int frames", "parameter 'frames' is int"),
    ("mutable-state", RELU, RESULT, f"{RESULT} static unsigned calls = 0;", "keeps a value between calls"),
    ("mutable-state", RELU, "template <typename L>", "unsigned calls = 0;\ntemplate <typename L>", "keeps a value between calls"),
    ("non-blocking", RELU, RESULT, f"if (x.empty()) {{}} {RESULT}", ".empty makes a result depend on timing"),
    ("non-blocking", RELU, "y.write(y_word);", "y.write_nb(y_word);", ".write_nb makes"),
    ("conversion", RELU, RESULT, "const ap_int<9> result = code.to_int();", ".to_int leaves"),
    ("conversion", RELU, RESULT, "const ap_int<9> result = (ap_int<9>)code;", "is a cast"),
    ("conversion", RELU, RESULT, "const ap_int<9> result = static_cast<ap_int<9>>(code);", "is a cast"),
    ("conversion", "kernels/lanes.hpp", "= code.range(WIDTH - 1, 0)", "= code", "bits move by .range() on both sides"),
    ("memory", RELU, RESULT, f"{RESULT} const ap_int<9> *p = 0;", "pointer declarator has no hardware"),
    ("division", RELU, RESULT, "const ap_int<9> result = code / 3;", "needs a divider"),
    ("unnamed-result", ADD, "(left << L::SHIFT_A) +", "left * right +", "the product 'left * right' has no variable"),
    ("shift", ADD, "left << L::SHIFT_A", "left << right", "the count 'right' is not"),
    ("shift", "layers.hpp", "static const unsigned SHIFT_A = 0", "static const int SHIFT_A = 0", "SHIFT_A is not unsigned"),
    (
        "shift",
        "layers.hpp",
        "typedef ap_int<4> constant;",
        "typedef ap_int<4> constant; typedef ap_uint<9> shift;",
        "at most 6 bits",
    ),
    ("fixed-point", RELU, RESULT, f"{RESULT} ap_fixed<8, 4> f = 0;", "stands outside a typedef"),
    ("fixed-point", RELU, RESULT, f"{RESULT} typename L::out::fixed f = 0;", "type 'fixed' is used outside requantize_code"),
    (
        "weight-table",
        "weights.hpp",
        "static const unsigned char stem",
        "static const signed char stem",
        "not a static const table",
    ),
    ("unnamed-result", MULTIPLY, "return product;", "return product * product;", "the product 'product * product' has no variable"),
    ("unnamed-result", MULTIPLY, "product *= constant;", "word[0] *= constant;", "word[0] *= constant' has no variable"),
    ("weight-table", "weights.hpp", "{0x", "{-3, 0x", "the entry '-3' is no"),
    ("uninitialised", RELU, RESULT, "typename L::out::code result;", "local 'result' has no initial value"),
    ("uninitialised", RELU, RESULT, f"{RESULT} typename L::out::code all[3];", "array 'all' is not filled"),
    (
        "uninitialised",
        "kernels/sliding_window.hpp",
        "line < L::LINES; ++line",
        "line < L::TAPS; ++line",
        "array 'lines' is not filled",
    ),
    ("uninitialised", WINDOW, "lines[line][at] = 0;", "lines[line][0] = 0;", "array 'lines' is not filled"),
    ("pragma", RELU, "PIPELINE II=1", "PIPELIN II=1", "unknown pragma 'HLS PIPELIN II=1 style=flp'"),
    ("pragma", RELU, "II=1 style=flp", "II=2 style=flp", "PIPELINE: II=2 does not fit 1"),
    ("pragma", RELU, "II=1 style=flp", "II=1", "PIPELINE lacks style"),
    ("pragma", RELU, "II=1 style=flp", "II=1 style=flp rewind", "PIPELINE has no option 'rewind'"),
    ("pragma", RELU, "template <typename L>", "#pragma HLS UNROLL\ntemplate <typename L>", "UNROLL stands outside a loop's body"),
    ("pragma", TOP, "variable=stem_bn depth=3", "variable=stem_nb depth=3", "STREAM: there is no 'stem_nb' in scope"),
    ("pragma", TOP, "variable=stem_bn depth=3", "variable=stem_bn depth=0", "depth=0 does not fit"),
    ("pragma", TOP, "port=s_in", "port=input", "there is no 'input' in scope"),
    ("pragma", RELU, "#pragma once", "#pragma GCC poison x", "unknown pragma 'GCC poison x'"),
    ("dataflow-body", TOP, "#pragma HLS DATAFLOW\n", "", "the project has 0 DATAFLOW regions"),
    ("dataflow-body", TOP, RELU_CALL, f"    if (frames > 1) {{ }}\n{RELU_CALL}", "neither a call nor a stream declaration"),
    ("dataflow-body", TOP, RELU_CALL, f"    ap_uint<8> shared[4];\n{RELU_CALL}", "neither a call nor a stream declaration"),
    ("dataflow-body", TOP, "stem_relu, frames);", "stem_relu, frames + 0);", "the argument 'frames + 0' is an expression; pass"),
    ("dataflow-body", TOP, RELU_CALL, RELU_CALL.replace("relu<layer", "rule<layer"), "'rule' is no function of the project"),
    ("stream-use", TOP, RELU_CALL, RELU_CALL + RELU_CALL, "stream 'stem_bn': writes then reads then reads"),
    ("stream-use", TOP, RELU_CALL, "", "stream 'stem_bn': writes; wanted one stage that writes"),
    ("stream-use", TOP, RELU_CALL, RELU_CALL.replace("(stem_bn", "(join"), "stream 'join' is used before it is declared"),
    ("stream-use", TOP, RELU_CALL, RELU_CALL.replace("(stem_bn, stem_relu", "(stem_relu, stem_bn"), "stream 'stem_relu': reads"),
    ("stream-use", RELU, "y.write(y_word);", "y.write(y_word); y.read();", "'relu' reads and writes 'stem_relu'"),
    ("stream-use", RELU, "y.write(y_word);", "", "'relu' does not use 'stem_relu'"),
    ("stream-use", TOP, "(s_in, image, frames)", "(m_out, image, frames)", "port 's_in' is used by 0 stages"),
    ("stream-name", TOP, 'stem_bn("stem_bn")', 'stem_bn("bn")', "stream 'stem_bn' is not constructed with its own name"),
    ("stream-depth", TOP, DEPTH, "", "stream 'stem_bn' has no STREAM pragma"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(small_network(), tmp_path_factory.mktemp("validator") / "small") / "hls"


@pytest.fixture(scope="module")
def khot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(small_network(digits=2), tmp_path_factory.mktemp("validator") / "khot") / "hls"


def test_exported_projects_are_clean(project: Path, khot: Path) -> None:
    assert [str(violation) for hls in (project, khot) for violation in validate(hls)] == []


@pytest.mark.parametrize(("rule", "file", "old", "new", "message"), PLANTED, ids=[f"{p[0]}-{i}" for i, p in enumerate(PLANTED)])
def test_a_planted_violation_is_named(
    project: Path, tmp_path: Path, rule: str, file: str, old: str, new: str, message: str
) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "hls"))
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1))
    found = [v for v in validate(copy) if v.rule == rule and message in v.message]
    assert found, [str(violation) for violation in validate(copy)]
    line = text[: text.index(old)].count("\n")
    assert found[0].file != file or rule.startswith(("stream-use", "dataflow-body")) or abs(found[0].line - line) <= 4


def test_static_assertions_are_no_hardware(khot: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(khot, tmp_path / "hls"))
    text = (copy / RELU).read_text()
    assert RESULT in text
    (copy / RELU).write_text(text.replace(RESULT, f'static_assert(L::in::WORDS * 2 / 2 == L::in::WORDS, "even"); {RESULT}'))
    assert validate(copy) == [] and multiplications(copy)["stem_relu"] == []


def test_a_violation_prints_as_a_compiler_message(project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "hls"))
    path = copy / RELU
    path.write_text(path.read_text().replace(RESULT, "auto result = code;"))
    (line,) = [i for i, text in enumerate(path.read_text().splitlines(), 1) if "auto" in text]
    assert str(validate(copy)[0]) == f"{RELU}:{line}: auto: a result has no named type"


def test_multiplications_are_listed_by_stage(project: Path) -> None:
    found = multiplications(project)
    layers = {"stem_conv", "stem_bn", "deep_conv", "deep_prelu", "group_conv", "head"}
    assert {name for name, products in found.items() if products} == layers
    assert all(p.file == "kernels/multiply.hpp" and p.text == "product *= constant" for name in layers for p in found[name])
    assert {"s_in", "stem_relu", "pool"} <= found.keys()


def test_a_khot_project_multiplies_nothing(khot: Path) -> None:
    assert {name: products for name, products in multiplications(khot).items() if products} == {}


def test_a_planted_multiplication_is_found(khot: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(khot, tmp_path / "hls"))
    path = copy / "kernels/multiply_khot.hpp"
    path.write_text(path.read_text().replace("return product;", "product = wide * wide; return product;"))
    assert [p.text for p in multiplications(copy)["deep_conv"]] == ["wide * wide"]


@pytest.mark.parametrize(("reciprocal", "count"), [(None, 0), (FixedType(False, 8, 10), 1)])
def test_an_average_multiplies_by_its_reciprocal_only(reciprocal: FixedType | None, count: int, tmp_path: Path) -> None:
    hls = write_project(averaged(reciprocal), tmp_path) / "hls"
    assert validate(hls) == []
    assert len(multiplications(hls)["mean"]) == count


def test_no_tree_sitter(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter_cpp", None)
    with pytest.raises(ToolMissingError, match=r"checking C\+\+ needs tree-sitter .*; pip install 'qfx\[validate\]'"):
        validate(project)


def test_no_sources(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"holds no C\+\+; name the hls/ folder of a project"):
        validate(tmp_path)
