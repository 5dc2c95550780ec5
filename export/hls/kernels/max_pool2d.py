"""max_pool2d: the largest code of each window."""

from __future__ import annotations

from qfx import ops
from qfx.export.cost.computing import Maximum
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.base import Header
from qfx.export.hls.kernels.pool import Pool
from qfx.export.hls.kernels.window import Window
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings


class MaxPool2d(Pool[ops.MaxPool2d]):
    """y = the largest code of each window; padding is the smallest code and never wins."""

    serves = ops.MaxPool2d
    functions = ("max_pool2d", "max_pool2d_pixels")
    latency = 4
    takes = "WORD_TAPS comparators or adders per lane"

    @classmethod
    def window_of(cls, operation: Operation[ops.MaxPool2d]) -> Window:
        op = operation.op
        return Window(op.kernel, op.stride, op.padding, op.dilation, op.extra)

    @property
    def pads_lowest(self) -> bool:
        return self.x.type.signed

    @property
    def function(self) -> str:
        return f"max_pool2d{self.pixels_ending}"

    @property
    def header(self) -> Header:
        return self.from_template(self.function, self.function)

    def describe(self, settings: Settings) -> None:
        self.describe_window(settings)
        self.describe_taps(settings)

    def lane(self) -> Resources:
        return Maximum(self.x.type.width).resources() * self.fold.taps
