"""clamp: min(max(x, low), high)."""

from __future__ import annotations

from qfx import ops
from qfx.export.cost.computing import Clamp as Datapath
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.elementwise import Elementwise
from qfx.export.hls.kernels.relu import TAKES
from qfx.export.hls.stage_settings import Code, Settings


class Clamp(Elementwise[ops.Clamp]):
    """y = min(max(x, low), high) on the grid of y."""

    serves = ops.Clamp
    latency = 3
    takes = TAKES
    passes = True

    def describe(self, settings: Settings) -> None:
        x, (low, high) = self.x.type, self.op.limits(self.x.value)
        shift = self.out.type.frac - x.frac
        settings.codes.append(Code.covering("wide", min(low, x.min_int << shift), max(high, x.max_int << shift)))
        settings.constant(shift=shift, low=low, high=high)

    def lane(self) -> Resources:
        return Datapath(self.x.type.width, *self.op.limits(self.x.value)).resources()
