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

    @property
    def function(self) -> str:
        return self.kind

    def resources(self) -> Resources:
        """Counters of rows, columns and the words of a pixel; multiplexers and memories of addresses are not part of the model."""
        return counters(self.out.height, self.out.width, self.out.groups)
