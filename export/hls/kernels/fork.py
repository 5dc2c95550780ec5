"""fork: one value for two readers."""

from __future__ import annotations

from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.base import Header, Kernel, Touched, counters, every
from qfx.export.hls.words import Words


class Fork(Kernel):
    """Every word goes to both readers."""

    kind = "fork"
    functions = ("fork",)
    latency = 1
    takes = "wires"

    def __init__(self, x: Words) -> None:
        self.x = x

    @property
    def function(self) -> str:
        return "fork"

    @property
    def header(self) -> Header:
        return self.from_template("fork", "fork", ())

    @property
    def iterations(self) -> int:
        """WORDS."""
        return self.x.words

    def touched(self) -> Touched:
        at = every(self.iterations)
        return Touched({0: at}, {0: at, 1: at})

    def resources(self) -> Resources:
        return counters(self.iterations)
