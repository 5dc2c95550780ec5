"""A whole accelerator on a board: resources of every stage and stream, frames per second, latency. Everything by the model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from qfx.export.cost.memory import fifo
from qfx.export.cost.nodes import NodeCosts
from qfx.export.cost.resources import Resources, total
from qfx.export.cost.stage import cost
from qfx.export.cost.storage import Control, Converter
from qfx.export.hls.board import Board
from qfx.export.hls.cycles import node_cycles
from qfx.export.hls.emit import Design
from qfx.export.hls.plan import Stage, Stream, is_alias


@dataclass(frozen=True)
class StageEstimate:
    """What a stage takes.

    Attributes:
        name: the node; for what is no node, the stream that it writes or the port.
        kind: of the op, or `convert`, `fork`, `axi`.
        cycles: per frame.
        resources: without the FIFOs behind it.
        streams: FIFOs that it writes.
    """

    name: str
    kind: str
    cycles: int
    resources: Resources
    streams: Resources

    @property
    def all(self) -> Resources:
        """Of the stage and of the FIFOs behind it."""
        return self.resources + self.streams


@dataclass(frozen=True)
class Estimate:
    """What an accelerator takes and how fast it is, by the model.

    Attributes:
        stages: nodes in the order of the data, then converters, forks and ports.
        cycles_per_frame: from one frame to the next: the cycles of the slowest stage.
        latency_cycles: from the first word in to the last word out of the first frame.
        frame_bytes: that all ports together move per frame, from and to memory.
    """

    board: Board
    clock_mhz: float
    stages: list[StageEstimate]
    cycles_per_frame: int
    latency_cycles: int
    frame_bytes: int
    resources: Resources = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "resources", total(stage.all for stage in self.stages))

    @property
    def fps(self) -> float:
        """Frames per second in the steady state: a frame starts when the slowest stage is ready for it."""
        return self.clock_mhz * 1e6 / self.cycles_per_frame

    @property
    def latency_us(self) -> float:
        """Microseconds from the first word in to the last word out of the first frame."""
        return self.latency_cycles / self.clock_mhz

    @property
    def bottleneck(self) -> StageEstimate:
        """The slowest stage, the first of several."""
        return max(self.stages, key=lambda stage: stage.cycles)

    @property
    def memory_mb_s(self) -> float:
        """10^6 bytes per second between memory and ports at this rate."""
        return self.frame_bytes * self.fps / 1e6

    @property
    def exceeded(self) -> dict[str, tuple[int, int]]:
        """What the board is short of: name -> (needed, there); resources, or the peak rate of its memory."""
        short = self.memory_mb_s > self.board.memory_mb_s
        memory = {"memory_mb_s": (math.ceil(self.memory_mb_s), int(self.board.memory_mb_s))} if short else {}
        return self.resources.exceeds(self.board.resources) | memory

    def to_json(self) -> dict[str, object]:
        """Plain data: lut, ff, dsp, bram18, lutram, cycles_per_frame, latency_us, fps, clock_mhz, fits, stages and more."""
        return {
            "by": "the model; no vendor tool has seen it",
            "board": self.board.name,
            **self.resources.rounded(),
            "cycles_per_frame": self.cycles_per_frame,
            "latency_us": self.latency_us,
            "latency_cycles": self.latency_cycles,
            "fps": self.fps,
            "clock_mhz": self.clock_mhz,
            "memory_mb_s": self.memory_mb_s,
            "fits": not self.exceeded,
            "bottleneck": self.bottleneck.name,
            "uncertain": sorted(self.resources.uncertain),
            "stages": [
                {"name": stage.name, "kind": stage.kind, "cycles": stage.cycles, **stage.all.rounded()} for stage in self.stages
            ],
        }


def estimate(design: Design, board: Board, clock_mhz: float | None = None) -> Estimate:
    """Cost and speed of an accelerator as it is emitted.

    Args:
        clock_mhz: None for the board's.

    Raises:
        ExportError: a clock that the board cannot have.
    """
    frame_bytes = sum(port.frame_beats * port.beat_width // 8 for port in (*design.inputs, *design.outputs))
    speed = (design.schedule.interval, design.schedule.latency, frame_bytes)
    return Estimate(board, board.clock(clock_mhz), stage_estimates(design), *speed)


def stage_estimates(design: Design) -> list[StageEstimate]:
    """Every stage of the accelerator, with the FIFOs behind it at their depths."""
    wiring, costs, widths = design.wiring, NodeCosts(design.wiring.graph), word_widths(design)
    written: dict[str, Resources] = {}
    others: list[StageEstimate] = []
    for stage in design.stages:
        behind = total(_fifo(stream, widths) for stream in stage.writes)
        node = re.search(r"<layer::(\w+)>", stage.call)
        if node is not None:
            written[node[1]] = written.get(node[1], Resources()) + behind
        else:
            others.append(_other(design, stage, behind, widths))
    nodes: list[StageEstimate] = []
    for node in wiring.graph.nodes:
        wire, fold = wiring.wires[node.name], wiring.folding[node.name]
        if is_alias(wire):
            continue
        cycles = max(node_cycles(wiring.graph, node, fold).values())
        alone = cost(replace(costs.shape(node, fold), fifo_depth=0))
        nodes.append(StageEstimate(node.name, node.op.kind, cycles, alone, written[wire.name]))
    return [*nodes, *others]


def word_widths(design: Design) -> dict[str, int]:
    """C++ type of a stream's words -> bits."""
    values = {f"value::{wire.name}::word": wire.word_width for wire in design.wires}
    codes = [(layer.name, code) for layer in design.layers for code in layer.codes]
    windows = {f"layer::{name}::window": code.width for name, code in codes if code.name == "window"}
    return values | windows


def _fifo(stream: Stream, widths: Mapping[str, int]) -> Resources:
    return fifo(widths[stream.word], stream.depth)


def _other(design: Design, stage: Stage, behind: Resources, widths: Mapping[str, int]) -> StageEstimate:
    """A converter, a fork, or a port: word widths and cycles follow from the streams."""
    kernel = stage.call.split("<")[0]
    if kernel.startswith("axi_"):
        port = next(port for port in (*design.inputs, *design.outputs) if port.name in stage.arguments)
        step = port.step * port.wire.type.width
        converters = total(Converter(step, width).resources() for width in (port.wire.word_width, port.beat_width) if width != step)
        return StageEstimate(port.name, "axi", port.steps, converters + _counters(port.steps), behind)
    words = [stream.frame_words for stream in stage.writes]
    if kernel == "fork":
        return StageEstimate(stage.arguments[0], "fork", words[0], _counters(words[0]), behind)
    source, target = (widths[f"{value}::word"] for value in re.findall(r"value::\w+", stage.call))
    cycles = words[0] if target < source else words[0] * (target // source)
    return StageEstimate(stage.arguments[1], "convert", cycles, Converter(source, target).resources() + _counters(cycles), behind)


def _counters(words: int) -> Resources:
    return Control((words,)).resources() if words > 1 else Resources()
