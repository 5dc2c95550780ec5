"""The accelerators' benchmark: a small network is judged, a wrong count is seen, what is promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import accelerator
from benchmarks._depths import depth_difference
from benchmarks.accelerator import NETWORKS, VARIANTS, judge, main, random_row, row, targets, wrong_cycles
from qfx.errors import ToolMissingError
from qfx.export.hls.node_folds import plain_folding
from qfx.fixed import IntArray
from qfx.ir import Graph
from qfx.testing.branches import branching
from qfx.testing.graphs import random_inputs
from qfx.testing.iterations import Counts
from qfx.testing.projects import frames, write_project
from tests.hls.build import small_network

CALIBRATION = [{"name": "held-out LUT error, median", "value": 0.03, "target": 0.15, "sense": "<="}]


def images(count: int) -> IntArray:
    return next(iter(frames(small_network(), count).values()))


def network(name: str, variant: str) -> Graph:
    return small_network()


def any_modes(*_: object) -> None:
    """In the place of what refuses unverified modes."""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small network in the place of ResNet-20."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerator, "images", images)
        patch.setattr(accelerator, "network", network)
        patch.setattr(accelerator, "IMAGES", 4)
        patch.setattr("qfx.project.write.check_modes", any_modes)  # it has a cast in an unusual mode
        patch.setattr("qfx.export.hls.project.check_modes", any_modes)
        judged = judge("ResNet20", "8-bit", tmp_path_factory.mktemp("accelerator") / "project")
        counts = Counts({("sums", "layer::head"): 1})
        assert wrong_cycles(judged.accelerator.design, counts) > 5
    return row(judged)


def test_a_network_is_judged(line: dict[str, Any]) -> None:
    assert line["csim_mismatches"] == line["threads_mismatches"] == line["live_mismatches"] == line["stages_with_wrong_cycles"] == 0
    assert line["csim_values"] == 2 * line["threads_values"] == 2 * line["live_values"] > 0
    assert line["fps_250_mhz"] == pytest.approx(250e6 / line["cycles_per_frame"]) and line["published_fps"] == 3254
    assert line["depth_difference"] == line["late_cycles"] == 0
    assert np.isclose(line["lut_share_with_error"], line["lut"] * 1.04 / 70_560) and line["bottleneck"]


def test_targets(line: dict[str, Any]) -> None:
    found = {entry["name"]: entry for entry in targets([line], CALIBRATION)}
    assert found["ResNet20, 8-bit: cycles per frame"]["target"] == 65_853
    assert found["ResNet20, 8-bit: seconds to fold and export"]["target"] == 20
    assert found["held-out LUT error, median"]["value"] == 0.03
    assert all(entry["value"] <= entry["target"] for name, entry in found.items() if "seconds" not in name)
    worse = {"network": "random 57", "depth_difference": 3, "late_cycles": 0.5}
    missed = [entry["name"] for entry in targets([], [], [worse]) if entry["value"] > entry["target"]]
    assert missed == [f"random 57: {what}" for what in (
        "words between modelled and measured least depth", "cycles a frame above the interval at the emitted depths"
    )]  # fmt: skip
    free = targets([line | {"variant": "4-bit, multiplier-free", "dsp": 3}], [])
    assert next(entry for entry in free if entry["name"].endswith(": DSPs"))["value"] == 3


def test_a_random_network(tmp_path: Path) -> None:
    found = random_row(100, tmp_path / "project")
    assert found == {"network": "random 100", "streams_deeper_than_1": 4, "depth_difference": 0, "late_cycles": 0}


def test_a_stream_that_is_deeper_than_it_must_be(tmp_path: Path) -> None:
    """The measured depth is smaller then, and the difference is told."""
    graph = branching(57)
    write_project(graph, tmp_path, folding=plain_folding(graph))
    layout = json.loads((tmp_path / "hls/layout.json").read_text())
    stream = max(layout["live_depths"], key=lambda name: int(layout["live_depths"][name]))
    layout["live_depths"][stream] += 3
    (tmp_path / "hls/layout.json").write_text(json.dumps(layout))
    assert depth_difference(tmp_path, {graph.inputs[0]: random_inputs(graph, 2, 1)}, optimize="-O0") >= 3


def test_every_network_and_variant_can_be_made() -> None:
    graph = accelerator.network("ResNet8", "4-bit, multiplier-free")
    assert not any(node.op.cost(graph.operands(node)).multiplications for node in graph.nodes)
    assert len(NETWORKS) * len(VARIANTS) == 9


def test_the_command(
    line: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = line | {"fold_and_export_seconds": 1.0, "variant": "8-bit"}

    def given(*_: object) -> dict[str, Any]:
        return result

    def calibrated(_: object) -> list[dict[str, Any]]:
        return CALIBRATION

    monkeypatch.setattr(accelerator, "held_out_error", calibrated)
    monkeypatch.setattr(accelerator, "SEEDS", ())
    monkeypatch.setattr(accelerator, "judge", given)
    monkeypatch.setattr(accelerator, "row", given)
    assert main(["--networks", "ResNet20", "--json", str(tmp_path / "a.json")]) == 0
    document = json.loads((tmp_path / "a.json").read_text())
    assert len(document["rows"]) == 3 and {"name", "value", "target", "sense"} == document["targets"][0].keys()
    assert "reached: ResNet20, 8-bit: cycles per frame" in capsys.readouterr().out
    result["threads_mismatches"] = 1
    assert main(["--networks", "ResNet20"]) == 1

    def missing(_: object) -> list[dict[str, Any]]:
        raise ToolMissingError("there is no yosys")

    monkeypatch.setattr(accelerator, "held_out_error", missing)
    assert main([]) == 3 and "error: there is no yosys" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--networks", "VGG"])
