"""convert: words of one width into words of another; one divides the other."""

from __future__ import annotations

from qfx.export.cost.resources import Resources
from qfx.export.cost.storage import Converter
from qfx.export.hls.kernels.base import Header, Kernel, Touched, counters, every
from qfx.export.hls.words import Words


class Convert(Kernel):
    """Several words become one, or one several, the first in the low bits."""

    kind = "convert"
    functions = ("convert_wider", "convert_narrower")
    latency = 2
    takes = "a word in registers"

    def __init__(self, x: Words, y: Words) -> None:
        self.x, self.y = x, y

    @property
    def widens(self) -> bool:
        """Whether words get wider."""
        return self.y.lanes > self.x.lanes

    @property
    def function(self) -> str:
        return "convert_wider" if self.widens else "convert_narrower"

    @property
    def header(self) -> Header:
        endings = {"wider": "_wider" if self.widens else "", "narrower": "" if self.widens else "_narrower"}
        return self.from_template(self.function, "convert", **endings)

    @property
    def iterations(self) -> int:
        """WORDS of the narrower one."""
        return max(self.x.words, self.y.words)

    def touched(self) -> Touched:
        at, ratio = every(self.iterations), max(self.x.lanes, self.y.lanes) // min(self.x.lanes, self.y.lanes)
        if self.widens:
            return Touched({0: at}, {0: every(self.y.words, ratio, ratio - 1)})
        return Touched({0: every(self.x.words, ratio)}, {0: at})

    def resources(self) -> Resources:
        return Converter(self.x.word_width, self.y.word_width).resources() + counters(self.iterations)
