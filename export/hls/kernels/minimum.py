"""minimum: the smaller of two values."""

from __future__ import annotations

from qfx import ops
from qfx.export.cost.computing import Maximum as Datapath
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.elementwise import Elementwise
from qfx.export.hls.stage_settings import Code, Settings


class Minimum(Elementwise[ops.Minimum]):
    """y = min(a, b), both aligned to the finer of their grids."""

    serves = ops.Minimum
    latency = 3
    takes = "a comparator per lane"

    @property
    def wide(self) -> Code:
        """A type that holds both operands on the grid of the result."""
        frac = self.out.type.frac
        types = [words.type for words in self.inputs]
        low = min(type.min_int << (frac - type.frac) for type in types)
        return Code.covering("wide", low, max(type.max_int << (frac - type.frac) for type in types))

    def describe(self, settings: Settings) -> None:
        a, b = (self.out.type.frac - words.type.frac for words in self.inputs)
        settings.codes.append(self.wide)
        settings.constant(shift_a=a, shift_b=b)

    def lane(self) -> Resources:
        return Datapath(self.wide.width).resources()
