"""Kernels that multiply each channel by a constant of its own."""

from __future__ import annotations

from functools import cached_property
from typing import TypeVar

from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Product
from qfx.export.hls.kernels.base import Header
from qfx.export.hls.kernels.elementwise import Elementwise
from qfx.export.hls.kernels.product import ENDINGS, ByConstants, constants_table, product_ways
from qfx.export.hls.operation import Operation
from qfx.ops.multiplying import MultipliesByConstants

T = TypeVar("T", bound=MultipliesByConstants)


class PerChannel(Elementwise[T]):
    """The constants are the second operand, one per channel or one for all."""

    endings = ENDINGS
    latency = 5
    takes = "a multiplication per lane, an adder or a choice behind it, a table of constants"
    passes = True

    @cached_property
    def by_constants(self) -> ByConstants:
        """How it multiplies."""
        return ByConstants(self.operation, self.op.digits, self.fold.product)

    @property
    def function(self) -> str:
        return f"{self.kind}{self.by_constants.ending}"

    @property
    def header(self) -> Header:
        product = self.by_constants
        return self.from_template(self.function, self.kind, (product.header,), product=product.ending)

    def tables(self) -> Resources:
        return constants_table(self.out, self.by_constants.table_bits)

    @classmethod
    def products(cls, operation: Operation[T], outputs: int) -> tuple[Product, ...]:
        return product_ways(operation, operation.op.digits)
