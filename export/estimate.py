"""A whole accelerator on a board: resources of every stage and stream, frames per second, latency."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from qfx.export.cost.memory import fifo
from qfx.export.cost.resources import Resources, total
from qfx.export.hls.board import Board
from qfx.export.hls.design import Design
from qfx.export.hls.kernels import OpKernel
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage import Stage
from qfx.ops.base import Op


@dataclass(frozen=True)
class StageEstimate:
    """Resource usage of a node's stages, or of a stage between nodes.

    Attributes:
        of: the stages, in the order of the data: of a node its kernel's, and before it the one that picks windows.
    """

    of: tuple[Stage, ...]

    @property
    def name(self) -> str:
        """The node; for what is no node, the stream that it writes or the port."""
        return self.of[-1].label

    @property
    def kind(self) -> str:
        """Of the op, or `convert`, `fork`, `axi`."""
        return self.of[-1].kernel.kind

    @property
    def cycles(self) -> int:
        """Per frame."""
        return max(stage.kernel.iterations for stage in self.of)

    @cached_property
    def resources(self) -> Resources:
        """Without the FIFOs behind it."""
        return total(stage.kernel.resources() for stage in reversed(self.of))

    @cached_property
    def streams(self) -> Resources:
        """FIFOs that it writes, at their depths."""
        return total(total(fifo(stream.width, stream.depth) for stream in stage.writes) for stage in self.of)

    @property
    def pe(self) -> int | None:
        """Codes that it writes at once, of several pixels all of them; None for what is no node."""
        kernel = self.of[-1].kernel
        return kernel.fold.writes if isinstance(kernel, OpKernel) else None

    @property
    def simd(self) -> int | None:
        """Codes that it reads at once over all kernel positions, of several pixels the window of one; None for what is no node."""
        kernel = self.of[-1].kernel
        if not isinstance(kernel, OpKernel):
            return None
        return (kernel.operation.x.channels if kernel.out.whole_pixels > 1 else kernel.fold.reads[0]) * kernel.fold.taps

    @property
    def product(self) -> str:
        """How it multiplies: `dsp`, `packed`, `lut`, `khot`, or `tools` for what they choose; empty if it does not."""
        kernel = self.of[-1].kernel
        if not isinstance(kernel, OpKernel):
            return ""
        operation = cast("Operation[Op]", kernel.operation)
        cost = operation.op.cost(operation.operands)
        return kernel.fold.product or ("khot" if cost.shift_adds else "tools" if cost.multiplications else "")

    @property
    def all(self) -> Resources:
        """Of the stage and of the FIFOs behind it."""
        return self.resources + self.streams


@dataclass(frozen=True)
class Estimate:
    """Resource usage and speed of an accelerator, estimated.

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
            "by": "estimated; no vendor tool has seen it",
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
                {
                    "name": stage.name,
                    "kind": stage.kind,
                    "pe": stage.pe,
                    "simd": stage.simd,
                    "product": stage.product,
                    "cycles": stage.cycles,
                    **stage.all.rounded(),
                }
                for stage in self.stages
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
    """Every node, then every stage between nodes, with the FIFOs behind them."""
    nodes: dict[str, list[Stage]] = {}
    for stage in design.stages:
        if stage.node:
            nodes.setdefault(stage.node, []).append(stage)
    between = ([stage] for stage in design.stages if not stage.node)
    return [StageEstimate((*stages,)) for stages in (*nodes.values(), *between)]
