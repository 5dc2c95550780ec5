"""axi: from the beats of an AXI stream into words, and back."""

from __future__ import annotations

import numpy as np

from qfx.export.cost.resources import Resources, total
from qfx.export.cost.storage import Converter
from qfx.export.hls.kernels.base import Header, Kernel, Touched, counters, every
from qfx.export.hls.words import Port


class Axi(Kernel):
    """STEP codes a cycle between a beat and a word."""

    kind = "axi"
    latency = 2
    takes = "a word and a beat in registers, the multiplexers between them"

    def __init__(self, port: Port) -> None:
        self.port = port

    @property
    def function(self) -> str:
        return self.functions[0]

    @property
    def header(self) -> Header:
        return self.from_template("axi", "axi")

    @property
    def iterations(self) -> int:
        """STEPS."""
        return self.port.steps

    @property
    def word_steps(self) -> int:
        """Cycles of a word."""
        return self.port.wire.lanes // self.port.step

    @property
    def beat_steps(self) -> int:
        """Cycles of a beat."""
        return self.port.slots // self.port.step

    def resources(self) -> Resources:
        port = self.port
        step = port.step * port.wire.type.width
        widths = (width for width in (port.wire.word_width, port.beat_width) if width != step)
        return total(Converter(step, width).resources() for width in widths) + counters(self.iterations)


class AxiIn(Axi):
    """Beats into words."""

    functions = ("axi_in",)

    def touched(self) -> Touched:
        beats, words = self.port.frame_beats, self.port.wire.words
        return Touched({0: every(beats, self.beat_steps)}, {0: every(words, self.word_steps, self.word_steps - 1)})


class AxiOut(Axi):
    """Words into beats; the last beat of a frame may be half full."""

    functions = ("axi_out",)

    def touched(self) -> Touched:
        last = every(self.port.frame_beats, self.beat_steps, self.beat_steps - 1)
        return Touched({0: every(self.port.wire.words, self.word_steps)}, {0: np.minimum(last, self.iterations - 1)})
