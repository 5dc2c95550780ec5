"""avg_pool2d: the mean of each window."""

from __future__ import annotations

from functools import cached_property

from qfx import ops
from qfx.export.cost.arrays import MultiplierArray
from qfx.export.cost.resources import Resources, total
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.base import Header
from qfx.export.hls.kernels.pool import Pool
from qfx.export.hls.kernels.product import product_resources
from qfx.export.hls.kernels.window import Window
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings
from qfx.fixed import FixedType


class AvgPool2d(Pool[ops.AvgPool2d]):
    """y = the exact sum of each window, times the code of 1 / area where the area is no power of two.

    Windows that overlap the padding may have smaller areas; a table has the code of 1 / area of each pixel then.
    """

    serves = ops.AvgPool2d
    functions = ("avg_pool2d", "avg_pool2d_scaled", "avg_pool2d_places", "avg_pool2d_pixels", "avg_pool2d_pixels_scaled")

    def __init__(self, operation: Operation[ops.AvgPool2d], fold: Fold) -> None:
        super().__init__(operation, fold)
        scales = self.op.reciprocal is not None
        self.latency = 6 if scales else 4
        self.takes = f"WORD_TAPS {'adders and a multiplication' if scales else 'comparators or adders'} per lane"

    @classmethod
    def window_of(cls, operation: Operation[ops.AvgPool2d]) -> Window:
        op = operation.op
        return Window(op.kernel, op.stride, op.padding, (1, 1), op.extra)

    @cached_property
    def reciprocals(self) -> list[int]:
        """Codes of 1 / area, one per pixel."""
        return multipliers(self.operation)

    @property
    def way(self) -> str:
        """How it scales: the ending of the function."""
        if self.op.reciprocal is None:
            return ""
        return "_scaled" if len(set(self.reciprocals)) == 1 else "_places"

    @property
    def function(self) -> str:
        return f"avg_pool2d{self.pixels_ending}{self.way}"

    @property
    def header(self) -> Header:
        ways = {way: f"_{way}" if self.way == f"_{way}" else "" for way in ("scaled", "places")}
        return self.from_template(self.function, f"avg_pool2d{self.pixels_ending}", **ways)

    def describe(self, settings: Settings) -> None:
        self.describe_window(settings)
        self.describe_taps(settings)
        x, area = self.x.type, self.op.area
        sums = FixedType.for_range(x.min_int * area, x.max_int * area, x.frac)
        settings.code("sum", sums.signed, sums.width)
        if self.op.reciprocal is None:
            return
        width = max(self.reciprocals).bit_length()
        settings.code("reciprocal", False, width)
        if self.way == "_scaled":
            settings.constant(reciprocal_code=self.reciprocals[0])
            return
        settings.constant(reciprocal_width=width)
        settings.code_table("reciprocal_of", self.reciprocals, width, "1 / area, [pixel][0]")

    def lane(self) -> Resources:
        x, out, reciprocal = self.x.type, self.out.type, self.op.reciprocal
        sums = MultiplierArray(1, self.fold.taps, "dsp", x.width, 0, out.width, accumulates=self.tap_words > 1)
        adders = total(part.resources() * count for count, part in sums.parts())
        if reciprocal is None:
            return adders
        wide = FixedType(x.signed, out.width, x.frac)
        return adders + product_resources(wide, reciprocal.width, "dsp")

    @classmethod
    def several_pixels(cls, operation: Operation[ops.AvgPool2d]) -> bool:
        """Not where areas differ from pixel to pixel."""
        return len(set(multipliers(operation))) <= 1


def multipliers(operation: Operation[ops.AvgPool2d]) -> list[int]:
    """Codes of 1 / area, row by row."""
    _, height, width = operation.x.shape
    return operation.op.multipliers((height, width)).ravel().tolist()
