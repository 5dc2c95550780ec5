"""add: the sum or the difference of two values."""

from __future__ import annotations

from qfx import ops
from qfx.export.cost.computing import Add as Datapath
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.base import Header
from qfx.export.hls.kernels.elementwise import Elementwise
from qfx.export.hls.stage_settings import Settings


class Add(Elementwise[ops.Add]):
    """y = a + b or a - b, both aligned to the finer of their grids."""

    serves = ops.Add
    functions = ("add", "add_minus")
    latency = 3
    takes = "an adder per lane"

    @property
    def function(self) -> str:
        return "add_minus" if self.op.minus else "add"

    @property
    def header(self) -> Header:
        return self.from_template(self.function, "add", minus="_minus" if self.op.minus else "")

    def describe(self, settings: Settings) -> None:
        a, b = (value.type for value in self.operation.operands)
        frac = self.out.type.frac
        settings.constant(shift_a=frac - a.frac, shift_b=frac - b.frac)

    def lane(self) -> Resources:
        a, b = (value.type for value in self.operation.operands)
        return Datapath(a.width, b.width, abs(a.frac - b.frac)).resources()
