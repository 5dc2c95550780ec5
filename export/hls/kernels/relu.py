"""relu: max(x, 0)."""

from __future__ import annotations

from qfx import ops
from qfx.export.cost.computing import ReLU as Datapath
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.elementwise import Elementwise

TAKES = "comparators, an adder or a table per lane"
"""What kernels of a few LUTs per lane are made of."""


class ReLU(Elementwise[ops.ReLU]):
    """y = max(x, 0)."""

    serves = ops.ReLU
    latency = 3
    takes = TAKES
    passes = True

    def lane(self) -> Resources:
        return Datapath(self.x.type.width).resources()
