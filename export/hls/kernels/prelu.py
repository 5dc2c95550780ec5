"""prelu: x where it is positive, slope[c] * x elsewhere."""

from __future__ import annotations

from qfx import ops
from qfx.export.cost.computing import PReLU as Datapath
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.per_channel import PerChannel
from qfx.export.hls.kernels.product import lane_table
from qfx.export.hls.stage_settings import Settings


class PReLU(PerChannel[ops.PReLU]):
    """y[c] = x[c] where x[c] > 0, slope[c] * x[c] elsewhere, on one grid."""

    serves = ops.PReLU

    def describe(self, settings: Settings) -> None:
        slope, frac, x = self.operation.operands[1], self.out.type.frac, self.x.type
        settings.constant(product_shift=frac - x.frac - slope.type.frac, positive_shift=frac - x.frac)
        lane_table(settings, "slope", slope, self.by_constants.describe(settings), self.out)

    def lane(self) -> Resources:
        x, slope = (value.type for value in self.operation.operands)
        if self.by_constants.way == "lut":
            return Datapath(x.width, slope.width, max(0, slope.frac)).resources()
        chosen = Resources(lut=self.out.type.width, ff=x.width + self.out.type.width)  # a multiplexer of two
        return self.by_constants.resources() + chosen
