"""argmax: the place of the greatest code."""

from __future__ import annotations

from collections.abc import Iterable

from qfx import ops
from qfx.export.cost.computing import Maximum
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.base import Touched, every
from qfx.export.hls.kernels.movement import Movement
from qfx.export.hls.kernels.op import own_lanes
from qfx.export.hls.operation import Operation


class ArgMax(Movement[ops.ArgMax]):
    """y = the place of the greatest code of x; of equals, the first."""

    serves = ops.ArgMax
    latency = 3
    takes = "a comparator"

    @property
    def iterations(self) -> int:
        """CHANNELS of x."""
        return self.x.value.size

    def touched(self) -> Touched:
        return Touched({0: every(self.x.words, self.x.lanes)}, {0: every(1, 1, self.iterations - 1)})

    def kept(self) -> Resources:
        """The greatest code so far, its comparator, and its place."""
        return Maximum(self.x.type.width).resources() + Resources(ff=self.out.type.width)

    @classmethod
    def shapes(cls, operation: Operation[ops.ArgMax]) -> Iterable[Fold]:
        return own_lanes(operation)
