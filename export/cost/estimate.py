"""A chain of stages on a board: resources, interval, latency, frames per second. Everything by the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qfx.errors import ExportError
from qfx.export.cost.resources import Resources, total
from qfx.export.cost.shape import StageShape
from qfx.export.cost.stage import cost
from qfx.export.hls.board import Board


@dataclass(frozen=True)
class Estimate:
    """What an accelerator takes and how fast it is, by the model.

    Attributes:
        stages: in the order of the data, each with its resources.
        latency_cycles: from the first word in to the last word out of one frame.
    """

    board: Board
    clock_mhz: float
    stages: Sequence[tuple[StageShape, Resources]]
    resources: Resources
    cycles_per_frame: int
    latency_cycles: int

    @property
    def fps(self) -> float:
        """Frames per second in the steady state: a frame starts when the slowest stage is ready for it."""
        return self.clock_mhz * 1e6 / self.cycles_per_frame

    @property
    def latency_us(self) -> float:
        return self.latency_cycles / self.clock_mhz

    @property
    def exceeded(self) -> dict[str, tuple[int, int]]:
        """Resources that the board is short of: name -> (needed, there)."""
        return self.resources.exceeds(self.board.resources)

    def to_json(self) -> dict[str, object]:
        """Plain data: lut, ff, dsp, bram18, lutram, cycles_per_frame, latency_us, fps, clock_mhz, fits, stages and more."""
        return {
            "board": self.board.name,
            **self.resources.rounded(),
            "cycles_per_frame": self.cycles_per_frame,
            "latency_us": self.latency_us,
            "fps": self.fps,
            "clock_mhz": self.clock_mhz,
            "fits": not self.exceeded,
            "uncertain": sorted(self.resources.uncertain),
            "stages": [
                {"name": shape.name, "kind": shape.kind, "cycles": shape.cycles, **resources.rounded()}
                for shape, resources in self.stages
            ],
        }


def estimate(shapes: Sequence[StageShape], board: Board, clock_mhz: float | None = None) -> Estimate:
    """Cost and speed of stages that follow each other.

    The latency is that of the slowest stage for a whole frame, and for every stage the part of a frame that has to come
    before its first result, at the pace of the slowest stage up to there. Pipeline registers are not counted.

    Args:
        shapes: in the order of the data; branches one after the other.
        clock_mhz: None for the board's.

    Raises:
        ExportError: no stage, or a clock that the board cannot have.
    """
    if not shapes:
        raise ExportError("there is no stage to estimate")
    found = [(shape, cost(shape)) for shape in shapes]
    slowest = 0
    latency = 0.0
    for shape in shapes:
        latency += shape.fill * slowest
        slowest = max(slowest, shape.cycles)
    clock = board.clock(clock_mhz)
    return Estimate(board, clock, found, total(part for _, part in found), slowest, round(latency + slowest))
