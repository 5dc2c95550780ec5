"""AXI streams: beats of every width, codes of every width, frames that fill no whole beat."""

from __future__ import annotations

from pathlib import Path

import pytest

from qfx.errors import ExportError
from qfx.export.hls.design import design
from qfx.export.hls.folding import Fold
from qfx.export.hls.node_folds import plain_folding
from qfx.export.hls.validator import validate
from qfx.fixed import FixedType
from qfx.ir import Graph, GraphBuilder
from qfx.ops import ReLU, Requantize
from qfx.sim.csim import CSimulator
from qfx.testing.projects import frames, write_project
from tests.hls.build import assert_equal


def network(width: int, channels: int) -> Graph:
    build = GraphBuilder("ports")
    x = build.input("x", FixedType(True, width, 3), (channels, 3, 5))
    return build.build(build.add("relu", ReLU(), x))


@pytest.mark.parametrize("width", [5, 9, 20, 40])
@pytest.mark.parametrize(("axi_bits", "channels"), [(32, 3), (64, 6), (128, 3)])
def test_every_width(width: int, axi_bits: int, channels: int, tmp_path: Path) -> None:
    """45 codes are no multiple of the codes of most beats; words have 3 or 6 codes."""
    graph = network(width, channels)
    project = write_project(graph, tmp_path, axi_bits=axi_bits)
    assert [str(violation) for violation in validate(project / "hls")] == []
    inputs = frames(graph, 3)
    found = CSimulator(project, optimize="-O0", flags=["-Wall", "-Wextra", "-Werror"]).run(inputs)
    assert_equal(graph, found, inputs)


def test_ports() -> None:
    """A pixel of three 8-bit codes a word, 8 codes a beat: one code a cycle; of four codes, four."""
    (port,) = design(network(8, 3)).inputs
    assert (port.slot_width, port.slots, port.step, port.steps, port.frame_beats) == (8, 8, 1, 45, 6)
    graph = network(12, 4)
    (port,) = design(graph, plain_folding(graph) | {"relu": Fold((4,), 4)}, 128).inputs
    assert (port.slot_width, port.slots, port.step, port.steps, port.frame_beats) == (16, 8, 4, 15, 8)
    (port,) = design(network(40, 3), axi_bits=32).outputs
    assert (port.beat_width, port.slots, port.frame_beats) == (64, 1, 45)


def test_a_port_does_not_set_the_rate(tmp_path: Path) -> None:
    """12 codes a word, where a word of three would let one code pass a cycle: 96 cycles; the slowest stage takes 32."""
    build = GraphBuilder("rgb")
    x = build.input("x", FixedType(False, 8, 3), (3, 4, 8))
    graph = build.build(build.add("relu", ReLU(), x), build.add("cast", Requantize(FixedType(True, 4, 0)), x))
    plan = design(graph)
    assert [(port.wire.name, port.wire.lanes, port.step, port.steps) for port in (*plan.inputs, *plan.outputs)] == [
        *(("x", 12, 4, 24), ("relu_v_by12", 12, 4, 24), ("cast_by12", 12, 4, 24))
    ]
    assert plan.schedule.interval == 32
    project = write_project(graph, tmp_path)
    assert [str(violation) for violation in validate(project / "hls")] == []
    assert_equal(graph, CSimulator(project, optimize="-O0").run(frames(graph, 3)), frames(graph, 3))
    slow = design(graph, {name: Fold((1,), 1) for name in ("relu", "cast")})
    assert [port.wire.lanes for port in (*slow.inputs, *slow.outputs)] == [1, 1, 1]


def test_other_beats_are_refused() -> None:
    with pytest.raises(ExportError, match="an AXI stream of 48 bits cannot be had; choose 32, 64, 128"):
        design(network(8, 3), axi_bits=48)
