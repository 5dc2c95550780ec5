"""What a user asks of an accelerator on the command line, and the estimate of a project."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from qfx.cli.estimate import estimate_project
from qfx.cli.export import parsed_products
from qfx.errors import ExportError, InputError
from qfx.export.accelerator import AcceleratorOptions, Options, accelerate
from qfx.export.hls.node_folds import plain_folding
from qfx.ops import Conv2d
from qfx.project import open_project, write_project
from qfx.testing.projects import frames
from tests.hls.build import small_network

GRAPH = small_network()
ASKED = AcceleratorOptions(clock_mhz=150, axi_bits=32, products={"stem.conv": "lut", "head": "khot"})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hardware") / "small"
    found = accelerate(GRAPH, ASKED)
    inputs = frames(GRAPH, 3)
    write_project(found, path, inputs, allow_unverified_modes=True)
    return path


def test_products_by_name() -> None:
    found = accelerate(GRAPH, AcceleratorOptions(products={"stem.conv": "lut", "head": "khot"}))
    assert found.folding["stem.conv"].product == "lut" and found.folding["head"].product == ""
    head, stem = found.graph.node("head").op, found.graph.node("stem.conv").op
    assert getattr(head, "digits", None) and isinstance(stem, Conv2d) and stem.digits is None


def test_plain_and_multiplier_free() -> None:
    found = accelerate(GRAPH, AcceleratorOptions(folding="plain", multiplier_free=True))
    assert found.folding == plain_folding(found.graph) and found.estimate.resources.dsp == 0 and not found.relief


def test_options_may_be_keywords() -> None:
    assert [*Options.__annotations__] == [field.name for field in dataclasses.fields(AcceleratorOptions)]
    found = accelerate(GRAPH, AcceleratorOptions(axi_bits=32), folding="plain", clock_mhz=150)
    assert found.design.inputs[0].beat_width == 32 and found.clock_mhz == 150
    assert found.folding == accelerate(GRAPH, AcceleratorOptions(folding="plain")).folding
    with pytest.raises(TypeError, match="unexpected keyword argument 'boards'"):
        accelerate(GRAPH, boards="zcu104")  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (AcceleratorOptions(folding="best"), "there is no folding 'best'; choose fastest or plain"),
        (AcceleratorOptions(folding="plain", fps=100), "--folding plain searches nothing: leave out --fps and --product"),
        (
            AcceleratorOptions(products={"head": "ram"}),
            "a product is one of dsp, packed, lut, khot, not 'ram' as asked for node 'head'",
        ),
        (AcceleratorOptions(products={"head": "lut"}, multiplier_free=True), "--multiplier-free allows no --product but khot"),
    ],
)
def test_options_that_make_no_sense(options: AcceleratorOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        accelerate(GRAPH, options)


def test_products_on_the_command_line() -> None:
    assert parsed_products(["a=b=lut", "head=khot"]) == {"a=b": "lut", "head": "khot"}
    for item in ("head", "head=ram", "=lut"):
        with pytest.raises(InputError, match=f"--product wants NODE=KIND with a kind of dsp, packed, lut, khot, not '{item}'"):
            parsed_products([item])


def test_options_that_the_board_refuses() -> None:
    for options, message in (
        (AcceleratorOptions(board="ultra97"), "there is no board 'ultra97'; known: ultra96, zcu104"),
        (AcceleratorOptions(clock_mhz=170), "board 'ultra96' cannot run at 170 MHz"),
        (AcceleratorOptions(axi_bits=24), "an AXI stream of 24 bits cannot be had"),
    ):
        with pytest.raises(ExportError, match=message):
            accelerate(GRAPH, options)


def test_the_estimate_of_a_project(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is that of the accelerator that was exported: its folding, ports, clock and products are read from the project."""
    assert open_project(project).manifest.clock_ns == 6.667
    assert estimate_project(project, None, str(tmp_path / "estimate.json"), quiet=False) == 0
    data = json.loads((tmp_path / "estimate.json").read_text())
    found = accelerate(GRAPH, ASKED).estimate
    assert data == found.to_json() and data["clock_mhz"] == 150
    printed = capsys.readouterr().out
    assert (
        "small: estimated" in printed and "stem.conv" in printed and f"a frame every {data['cycles_per_frame']:,} cycles" in printed
    )
    assert estimate_project(project, 250, "-", quiet=True) == 0
    assert json.loads(capsys.readouterr().out)["fps"] == pytest.approx(data["fps"] * 250 / 150)


def test_a_folding_that_was_changed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "hls/folding.json"
    text = file.read_text()
    try:
        file.write_text(text.replace('"stem.relu"', '"stem.rule"'))
        with pytest.raises(ExportError, match=r"the folding has no entry for node 'stem\.relu'"):
            estimate_project(project, None, None, quiet=True)
        file.write_text(text + "\n")
        assert estimate_project(project, None, None, quiet=True) == 0
        assert "hls/folding.json differs from the manifest" in capsys.readouterr().err
    finally:
        file.write_text(text)
