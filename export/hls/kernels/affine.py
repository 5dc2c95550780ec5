"""affine: scale[c] * x + offset[c], a batch normalisation."""

from __future__ import annotations

from functools import cached_property

from qfx import ops
from qfx.export.cost.arithmetic import Add
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Product
from qfx.export.hls.kernels.base import Source
from qfx.export.hls.kernels.elementwise import Elementwise
from qfx.export.hls.kernels.product import ENDINGS, ByConstants, aligned_table, constants_table, lane_table, product_ways
from qfx.export.hls.operation import Operation
from qfx.export.hls.settings import Settings

TAKES = "a multiplication per lane, an adder or a choice behind it, a table of constants"
"""What kernels are made of that multiply by a constant per channel."""


class Affine(Elementwise[ops.Affine]):
    """y[c] = scale[c] * x[c] + offset[c], exact; both terms are aligned to the grid of y."""

    kind = "affine"
    serves = ops.Affine
    functions = ("affine",)
    endings = ENDINGS
    latency = 5
    takes = TAKES
    passes = True

    @cached_property
    def by_constants(self) -> ByConstants:
        return ByConstants(self.operation, self.op.digits, self.fold.product)

    @property
    def function(self) -> str:
        return f"affine{self.by_constants.ending}"

    @property
    def source(self) -> Source:
        product = self.by_constants
        return self.header(self.function, "affine", (product.source,), product=product.ending)

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
        offset = self.operation.operands[2].type
        return constants_table(self.out, self.by_constants.table_bits) + constants_table(self.out, offset.width)

    @classmethod
    def products(cls, operation: Operation[ops.Affine], outputs: int) -> tuple[Product, ...]:
        return product_ways(operation, operation.op.digits)
