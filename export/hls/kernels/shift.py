"""shift: the same codes with another binary point."""

from __future__ import annotations

from qfx import ops
from qfx.errors import ExportError
from qfx.export.hls.kernels.base import Header, Touched
from qfx.export.hls.kernels.movement import Movement
from qfx.export.hls.operation import Operation


class Shift(Movement[ops.Shift]):
    """The result is the operand's stream under another label; no stage is made of it."""

    serves = ops.Shift
    functions = ()
    latency = 1
    takes = "nothing"

    @classmethod
    def relabels(cls, operation: Operation[ops.Shift]) -> bool:
        return True

    @property
    def header(self) -> Header:
        raise ExportError(f"node {self.operation.name!r} is its operand's stream; there is no kernel for it")

    @property
    def iterations(self) -> int:
        """None."""
        return 0

    def touched(self) -> Touched:
        return Touched({}, {})
