"""Kernels that compute each code of the result from the codes in the same place."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TypeVar

from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import MAX_WORD_BITS, Fold, divisors
from qfx.export.hls.kernels.base import Touched, counters, every
from qfx.export.hls.kernels.op import OpKernel
from qfx.export.hls.operation import Operation
from qfx.export.hls.words import Words
from qfx.ops.base import Op

T = TypeVar("T", bound=Op)


class Elementwise(OpKernel[T]):
    """A word of the result for a word of every operand; each lane is a datapath of its own."""

    def touched(self) -> Touched:
        at = every(self.iterations)
        return Touched(dict.fromkeys(range(len(self.inputs)), at), {0: at})

    @abstractmethod
    def lane(self) -> Resources:
        """Resource usage of one lane, tables aside."""

    def tables(self) -> Resources:
        """Resource usage of tables of constants; here there are none."""
        return Resources()

    def resources(self) -> Resources:
        """Lanes, tables and the counters of the loop."""
        channels, pixels = min(self.out.lanes, self.out.channels), self.out.whole_pixels
        return self.lane() * channels * pixels + self.tables() + self.counters()

    def counters(self) -> Resources:
        """Of rows, columns and the words of a pixel."""
        return counters(self.out.height, self.out.width, self.out.groups)

    @classmethod
    def pixel_shapes(cls, operation: Operation[T]) -> Iterator[Fold]:
        """Whole pixels, where all operands have the shape of the result."""
        out, streams = Words(operation.out, 1), operation.streams
        if any(value.shape != out.value.shape for value in streams):
            return
        most = max(value.type.width for value in streams)
        for pixels in divisors(out.width)[1:]:
            codes = pixels * out.channels
            if codes * out.type.width > MAX_WORD_BITS:
                return
            if codes * most <= MAX_WORD_BITS:
                yield Fold((codes,) * len(streams), codes)
