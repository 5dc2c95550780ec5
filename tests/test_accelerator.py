"""Accelerators that are found for a board: within its resources, whole, in the ways to multiply that were asked for."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from qfx.errors import ExportError, ProjectError
from qfx.export.accelerator import fastest, with_folding
from qfx.export.cost.resources import total
from qfx.export.estimate import stage_estimates
from qfx.export.fold import SHARES
from qfx.export.hls.board import load_board
from qfx.export.hls.folding import Fold
from qfx.export.hls.folding_file import NAME, folding_text, read_folding
from qfx.export.hls.node_folds import plain_folding
from qfx.export.hls.stage import Stage
from qfx.ir.passes.k_hot import multiplier_free
from tests.hls.build import small_network

BOARD = load_board("ultra96")
GRAPH = small_network()


def test_a_whole_design_fits() -> None:
    found = fastest(GRAPH, BOARD)
    budget = {name: int(BOARD.resources[name] * share) for name, share in SHARES.items()}
    assert not found.estimate.resources.exceeds(budget) and found.relief
    schedule = found.design.schedule
    assert found.estimate.cycles_per_frame == schedule.interval == found.estimate.bottleneck.cycles
    assert found.estimate.latency_cycles == schedule.latency >= schedule.interval
    assert {stage.kind for stage in found.estimate.stages} >= {"conv2d", "linear", "fork", "axi"}


def test_what_lies_between_the_stages_counts() -> None:
    """A folding with a converter takes its LUTs; every stream of the design is a FIFO of some stage."""
    folding = plain_folding(GRAPH)
    plain = with_folding(GRAPH, BOARD, folding)
    wide = with_folding(GRAPH, BOARD, folding | {"stem.relu": Fold((2,), 2)})
    before = {stage.name for stage in plain.estimate.stages}
    converters = [stage for stage in wide.estimate.stages if stage.kind == "convert" and stage.name not in before]
    assert {stage.name for stage in converters} == {"stem_bn_by2", "stem_relu_by4"}
    assert all(stage.resources.lut > 0 and stage.streams.lut > 0 for stage in converters)
    deep = replace(plain.design, stages=[
        replace(stage, writes=tuple(replace(stream, depth=stream.depth + 4000) for stream in stage.writes))
        for stage in plain.design.stages
    ])  # fmt: skip
    streams = [total(stage.streams for stage in stage_estimates(design)) for design in (plain.design, deep)]
    assert streams[1].bram18 > streams[0].bram18 + len(plain.design.streams)


def test_schedule_and_estimate_read_the_stages_themselves() -> None:
    """A row of the estimate is stages of the design, each in one row; so is a process of the schedule, but for its depths."""
    found = fastest(GRAPH, BOARD)
    rows = [id(stage) for row in found.estimate.stages for stage in row.of]
    assert sorted(rows) == sorted(map(id, found.design.stages))
    depths = {name: depth.emitted for name, depth in found.design.schedule.depths.items()}
    stages = [stage for stage in found.design.network.processes if isinstance(stage, Stage)]
    assert [stage.with_depths(depths) for stage in stages] == found.design.stages


def test_a_rate_that_is_enough() -> None:
    fast = fastest(GRAPH, BOARD).estimate
    slow = fastest(GRAPH, BOARD, fps=fast.fps / 20, clock_mhz=150).estimate
    assert slow.clock_mhz == 150 and slow.fps >= fast.fps / 20 and slow.resources.lut < fast.resources.lut
    with pytest.raises(ExportError, match=r"no folding takes 1 cycles per frame; the fastest takes \d+"):
        fastest(GRAPH, BOARD, fps=187.4e6)
    with pytest.raises(ExportError, match="0 frames per second is no rate"):
        fastest(GRAPH, BOARD, fps=0)
    with pytest.raises(ExportError, match="cannot run at 200 MHz"):
        fastest(GRAPH, BOARD, clock_mhz=200)


def test_json() -> None:
    found = with_folding(GRAPH, BOARD).estimate
    data = found.to_json()
    keys = "lut ff dsp bram18 lutram cycles_per_frame latency_us fps clock_mhz fits stages"
    assert set(keys.split()) <= data.keys() and json.loads(json.dumps(data)) == data
    assert data["fps"] == pytest.approx(187.5e6 / found.cycles_per_frame) and data["fits"] is True
    small = replace(BOARD, resources=BOARD.resources | {"lut": 100})
    assert replace(found, board=small).exceeded["lut"][1] == 100 and replace(found, board=small).to_json()["fits"] is False


def test_memory_is_a_limit_too() -> None:
    """84 codes of 8 bits in, 11 beats of 8 bytes; 5 of 16 or 32 bits out, 2 or 3 beats. At 187.5 MHz."""
    found = with_folding(GRAPH, BOARD).estimate
    ports = with_folding(GRAPH, BOARD).design
    assert found.frame_bytes == 8 * sum(port.frame_beats for port in (*ports.wiring.inputs, *ports.wiring.outputs)) in (104, 112)
    assert found.memory_mb_s == pytest.approx(found.frame_bytes * 187.5 / found.cycles_per_frame) and found.exceeded == {}
    slow = replace(found, board=replace(BOARD, memory_mb_s=1.0))
    assert slow.exceeded == {"memory_mb_s": (math.ceil(found.memory_mb_s), 1)} and slow.to_json()["fits"] is False


def test_multiplier_free() -> None:
    assert fastest(multiplier_free(GRAPH), BOARD).estimate.resources.dsp == 0


def test_weights_in_memory_of_a_kind() -> None:
    folds = {kind: plain_folding(GRAPH) | {"head": Fold((1,), 1, 1, "lut", kind)} for kind in ("lut", "bram")}
    found = {kind: with_folding(GRAPH, BOARD, folding).estimate.resources for kind, folding in folds.items()}
    assert found["bram"].bram18 > found["lut"].bram18 and found["bram"].lut < found["lut"].lut


def test_the_folding_file(tmp_path: Path) -> None:
    folding = {**fastest(GRAPH, BOARD).folding, "stem.bn": Fold((4,), 4, product="khot")}
    (tmp_path / NAME).write_text(folding_text(folding, 128))
    assert read_folding(tmp_path) == (folding, 128)


def entry(fold: str) -> str:
    return f'{{"format": 1, "axi_bits": 64, "nodes": {{"conv": {fold}}}}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"folding\.json cannot be read as JSON"),
        ('{"format": 7, "nodes": {}}', r"folding\.json has format 7; this QFX reads format 1"),
        (entry('{"reads": [0], "writes": 1, "taps": 1, "product": "", "storage": ""}'), "the entry of 'conv' is"),
        (
            entry('{"reads": [1], "writes": 1, "taps": 1, "product": "x", "storage": ""}'),
            r"field 'nodes.conv.product' is missing or of the wrong kind .it wants '', 'dsp', 'packed', 'lut', 'khot'",
        ),
        (entry("3"), r"folding\.json: field 'nodes\.conv' is missing or of the wrong kind"),
        (entry('{"reads": [1, "a"], "writes": 1}'), r"field 'nodes\.conv\.reads\[1\]' is missing or of the wrong kind"),
        (entry('{"reads": [1]}'), r"field 'nodes\.conv\.writes' is missing or of the wrong kind"),
    ],
)
def test_a_damaged_folding_file(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"folding\.json is missing; the project is incomplete"):
        read_folding(tmp_path)
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ProjectError, match=message):
        read_folding(tmp_path)
