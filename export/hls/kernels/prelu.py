"""prelu: x where it is positive, slope[c] * x elsewhere."""

from __future__ import annotations

from functools import cached_property

from qfx import ops
from qfx.export.cost.arithmetic import PReLU as Datapath
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Product
from qfx.export.hls.kernels.affine import TAKES
from qfx.export.hls.kernels.base import Source
from qfx.export.hls.kernels.elementwise import Elementwise
from qfx.export.hls.kernels.product import ENDINGS, ByConstants, constants_table, lane_table, product_ways
from qfx.export.hls.operation import Operation
from qfx.export.hls.settings import Settings


class PReLU(Elementwise[ops.PReLU]):
    """y[c] = x[c] where x[c] > 0, slope[c] * x[c] elsewhere, on one grid."""

    kind = "prelu"
    serves = ops.PReLU
    functions = ("prelu",)
    endings = ENDINGS
    latency = 5
    takes = TAKES
    passes = True

    @cached_property
    def by_constants(self) -> ByConstants:
        return ByConstants(self.operation, self.op.digits, self.fold.product)

    @property
    def function(self) -> str:
        return f"prelu{self.by_constants.ending}"

    @property
    def source(self) -> Source:
        product = self.by_constants
        return self.header(self.function, "prelu", (product.source,), product=product.ending)

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

    def tables(self) -> Resources:
        return constants_table(self.out, self.by_constants.table_bits)

    @classmethod
    def products(cls, operation: Operation[ops.PReLU], outputs: int) -> tuple[Product, ...]:
        return product_ways(operation, operation.op.digits)
