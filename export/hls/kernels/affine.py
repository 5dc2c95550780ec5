"""affine: scale[c] * x + offset[c], a batch normalisation."""

from __future__ import annotations

from qfx import ops
from qfx.export.cost.computing import Add
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.per_channel import PerChannel
from qfx.export.hls.kernels.product import aligned_table, constants_table, lane_table
from qfx.export.hls.stage_settings import Settings


class Affine(PerChannel[ops.Affine]):
    """y[c] = scale[c] * x[c] + offset[c], exact; both terms are aligned to the grid of y."""

    serves = ops.Affine

    def describe(self, settings: Settings) -> None:
        _, scale, offset = self.operation.operands
        settings.constant(product_shift=self.out.type.frac - self.x.type.frac - scale.type.frac)
        lane_table(settings, "scale", scale, self.by_constants.describe(settings), self.out)
        aligned_table(settings, "offset", offset, self.out)

    def lane(self) -> Resources:
        x, scale, offset = (value.type for value in self.operation.operands)
        shift = self.out.type.frac - x.frac - scale.frac
        return self.by_constants.resources() + Add(x.width + scale.width, offset.width, shift).resources()

    def tables(self) -> Resources:
        return super().tables() + constants_table(self.out, self.operation.operands[2].type.width)
