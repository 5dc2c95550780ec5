"""reshape: the same codes under another shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from qfx import ops
from qfx.export.cost.memory import buffer
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.base import Touched, every
from qfx.export.hls.kernels.movement import Movement
from qfx.export.hls.kernels.op import own_lanes
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings
from qfx.export.hls.words import Words
from qfx.ops.base import Op

T = TypeVar("T", bound=Op)


class ThroughMemory(Movement[T]):
    """A frame is written code by code, then read code by code in another order."""

    latency = 3
    takes = "a frame of memory, counters or a table of addresses"

    @property
    def iterations(self) -> int:
        """2 * SIZE."""
        return 2 * self.out.value.size

    def touched(self) -> Touched:
        size, x, out = self.out.value.size, self.x, self.out
        return Touched({0: every(x.words, x.lanes)}, {0: every(out.words, out.lanes, size + out.lanes - 1)})

    def kept(self) -> Resources:
        """A frame."""
        return buffer(self.x.type.width, self.x.value.size)

    @classmethod
    def shapes(cls, operation: Operation[T]) -> Iterable[Fold]:
        return own_lanes(operation)


class Reshape(ThroughMemory[ops.Reshape]):
    """The same codes under another shape, in channel-major order as torch.reshape."""

    serves = ops.Reshape

    @classmethod
    def relabels(cls, operation: Operation[ops.Reshape]) -> bool:
        """Where the codes come in the same order under both shapes."""
        x, y = Words(operation.x, 1), Words(operation.out, 1)
        return (x.channels == y.channels and x.pixels == y.pixels) or x.channels == y.channels == 1

    def describe(self, settings: Settings) -> None:
        settings.constant(size=self.out.value.size)
