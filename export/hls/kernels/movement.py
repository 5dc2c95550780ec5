"""Kernels that move codes without computing."""

from __future__ import annotations

from typing import TypeVar

from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.base import counters
from qfx.export.hls.kernels.op import OpKernel
from qfx.ops.base import Op

T = TypeVar("T", bound=Op)


class Movement(OpKernel[T]):
    """A kernel without a datapath."""

    def resources(self) -> Resources:
        """What it keeps, what chooses, and the counters of rows, columns and the words of a pixel."""
        return self.kept() + counters(self.out.height, self.out.width, self.out.groups)

    def kept(self) -> Resources:
        """Memories, registers and multiplexers; here there are none."""
        return Resources()
