"""multiply: the product of two computed values, or of one and a factor per channel."""

from __future__ import annotations

from qfx import ops
from qfx.export.cost.memory import buffer
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.base import Header, Touched, every
from qfx.export.hls.kernels.elementwise import Elementwise
from qfx.export.hls.kernels.product import product_resources
from qfx.export.hls.operation import Operation


class Multiply(Elementwise[ops.Multiply]):
    """y = a * b, exact; b has the shape of a, or one factor per channel, kept for the frame."""

    serves = ops.Multiply
    functions = ("multiply_values", "multiply_channels")
    latency = 5

    def __init__(self, operation: Operation[ops.Multiply], fold: Fold) -> None:
        super().__init__(operation, fold)
        self.takes = f"a multiplication per lane{', a frame of factors' if self.per_channel else ''}"

    @property
    def per_channel(self) -> bool:
        """Whether b has one factor per channel."""
        return self.inputs[0].value.shape != self.inputs[1].value.shape

    @property
    def function(self) -> str:
        return "multiply_channels" if self.per_channel else "multiply_values"

    @property
    def header(self) -> Header:
        endings = {"values": "" if self.per_channel else "_values", "channels": "_channels" if self.per_channel else ""}
        return self.from_template(self.function, "multiply", **endings)

    def touched(self) -> Touched:
        at = every(self.iterations)
        return Touched({1: every(self.x.groups) if self.per_channel else at, 0: at}, {0: at})

    def tables(self) -> Resources:
        """The factors of a frame, where there is one per channel."""
        factors = self.inputs[1]
        return buffer(factors.word_width, factors.groups) if self.per_channel else Resources()

    def lane(self) -> Resources:
        a, b = (value.type for value in self.operation.operands)
        return product_resources(a, b.width, "dsp")
