"""Tables at 80 columns as golden text, and at other widths what makes them readable there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qfx.cli import console
from qfx.cli.estimate import print_estimate
from qfx.cli.info import info, node_table
from qfx.cli.outcome import Outcome
from qfx.cli.verify import VerifyOptions, print_outcome, print_report
from qfx.engines.report import LayerReport, Report
from qfx.errors import QfxError
from qfx.export.accelerator import AcceleratorOptions, accelerate, with_folding
from qfx.export.hls.board import load_board
from qfx.export.hls.node_folds import choices, plain_folding
from qfx.project import write_project
from qfx.testing.projects import frames
from tests.hls.build import small_network
from tests.test_junit import BAD

GRAPH = small_network()
ASKED = AcceleratorOptions(clock_mhz=150, axi_bits=32, products={"stem.conv": "lut", "head": "khot"})
GOLDEN = Path(__file__).with_name("golden") / "tables.txt"


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without the spaces that fill a line."""
    return "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()) + "\n"


def test_tables_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_estimate(accelerate(GRAPH, ASKED).estimate, "out/small", console.out())
    console.print_lines(GRAPH.text())
    console.out().print(node_table(GRAPH))
    assert BAD.report is not None
    print_report(BAD.report, "out/bad", console.out())
    text = shown(capsys)
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
    assert max(map(len, text.splitlines())) <= 80


def test_a_file_has_whole_lines_unless_a_width_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "  act: ap_ufixed<4, 2> [2, 3, 3] = requantize(type=ap_ufixed<4, 2>, rounding=AP_RND_CONV, overflow=AP_WRAP) " + "x" * 60
    monkeypatch.delenv("COLUMNS", raising=False)
    console.print_lines(line)
    assert shown(capsys) == line + "\n"
    monkeypatch.setenv("COLUMNS", "60")
    console.print_lines(line)
    lines = shown(capsys).splitlines()
    assert len(lines) > 2 and all(len(part) <= 60 for part in lines)
    assert lines[0].startswith("  act: ") and all(part.startswith(" " * 8) for part in lines[1:])
    assert console.out().width == 60
    monkeypatch.setenv("COLUMNS", "5")
    console.print_lines(line)
    assert max(map(len, shown(capsys).splitlines())) == 28
    for unknown in ("0", "", "wide", "-80"):
        monkeypatch.setenv("COLUMNS", unknown)
        console.print_lines(line)
        assert shown(capsys) == line + "\n"


def test_counts_of_a_layer_are_of_the_same_values(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every value of a layer may differ: then both columns say the same number."""
    monkeypatch.setenv("COLUMNS", "80")
    report = Report(("sim", "onnx", "csim"), 10, (LayerReport("a[b]", "relu", "ap_fixed<8, 4>", 12, 240, 240),))
    print_report(report, "x[y]", console.out())
    text = shown(capsys)
    assert text.startswith("x[y]\n") and " > a[b] relu ap_fixed<8, 4>      240        240\n" in text
    assert "counted over all samples and engines" in text and report.summary in text.replace("\n", " ")


def test_notes_and_mismatches_name_their_project_where_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    for about in ("out/bad: ", ""):
        print_outcome(BAD, VerifyOptions(), console.plain(), about)
        assert capsys.readouterr().err == f"{about}note: hls/weights.hpp differs\n"
        print_outcome(BAD, VerifyOptions(quiet=True), console.plain(), about)
        assert capsys.readouterr().err.startswith(f"{about}first mismatch: layer head")
    print_outcome(Outcome("out/none", 0.0, error="no such thing"), VerifyOptions(), console.plain(), "out/none: ")
    assert capsys.readouterr().err == "out/none: error: no such thing\n"


def test_the_estimate_as_json_says_how_parallel_each_layer_is() -> None:
    document = accelerate(GRAPH, ASKED).estimate.to_json()
    stages: list[dict[str, object]] = document["stages"]  # pyright: ignore[reportAssignmentType]
    found = {stage["name"]: (stage["pe"], stage["simd"], stage["product"]) for stage in stages}
    folding = accelerate(GRAPH, ASKED).folding
    assert found["stem.conv"] == (folding["stem.conv"].writes, folding["stem.conv"].simd, "lut")
    assert found["head"][2] == "khot" and found["join"][2] == "" and found["s_in"] == (None, None, "")
    plain = accelerate(GRAPH, folding="plain").estimate
    assert next(stage.product for stage in plain.stages if stage.name == "stem.conv") == "tools"


def test_several_pixels_at_once() -> None:
    """PE counts the pixels, SIMD the window of one: their product is that of the multiplications a cycle."""
    node = GRAPH.node("stem.conv")
    wide = next(fold for fold in choices(GRAPH, node) if fold.writes > 4)
    folding = {**plain_folding(GRAPH), "stem.conv": wide}
    stage = with_folding(GRAPH, load_board("ultra96"), folding).estimate.stages[0]
    assert (stage.name, stage.pe, stage.simd) == ("stem.conv", wide.writes, 2 * 9)
    assert wide.writes * 2 * 9 * stage.cycles >= node.op.cost(GRAPH.operands(node)).multiplications


def test_info_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small"
    project = write_project(GRAPH, path, frames(GRAPH, 3), allow_unverified_modes=True)
    assert info(str(path), json="-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == GRAPH.name and document["samples"] == 100 and document["changed"] == []
    assert (document["engines"], document["board"]) == (["sim", "onnx", "csim"], "ultra96") and "files" not in document
    assert [node["name"] for node in document["nodes"]] == [node.name for node in GRAPH.nodes]
    first = document["nodes"][0]
    assert (first["type"], first["shape"], first["accumulator"]) == ("ap_fixed<11, 6>", [4, 7, 6], "float32")
    assert first["inputs"] == ["image", "stem.conv.weight"] and first["multiplications"] == 3024 and first["bound_bits"] == 11
    assert info(str(path), json=str(tmp_path / "info.json")) == 0
    assert json.loads((tmp_path / "info.json").read_text()) == document
    assert f"{project.sample_count} recorded samples; ultra96" in capsys.readouterr().out
    with pytest.raises(QfxError, match="takes neither option"):
        info(str(path), sample="x.npy", json="-")
