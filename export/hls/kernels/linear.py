"""linear: a matrix of weights times a vector."""

from __future__ import annotations

from collections.abc import Iterable

from qfx import ops
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.base import Header, Touched, counters, every
from qfx.export.hls.kernels.matrix import Weighted
from qfx.export.hls.kernels.op import own_lanes
from qfx.export.hls.kernels.product import aligned_table
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings

TAKES = "SIMD * PE multiplications, PE adder trees and accumulators, weights, a window's words"
"""What matrix_vector is made of."""


class Linear(Weighted[ops.Linear]):
    """y[o] = bias[o] + sum over i of weight[o, i] * x[i]."""

    serves = ops.Linear
    latency = 8
    takes = TAKES

    @property
    def function(self) -> str:
        return f"linear{self.by_constants.ending}"

    @property
    def header(self) -> Header:
        return self.from_template(self.function, "linear", (self.matrix_header,), product=self.by_constants.ending)

    def describe(self, settings: Settings) -> None:
        settings.code("window", False, self.x.word_width)
        encoding = self.describe_product(settings)
        self.describe_windows(settings)
        self.describe_matrix(settings, self.weight.codes.reshape(self.weight.shape[0], self.x.groups, self.x.lanes), encoding)
        aligned_table(settings, "bias", self.bias, self.out)

    @property
    def iterations(self) -> int:
        """(groups of outputs) * (words of x)."""
        return self.out.words * self.sum_words

    def touched(self) -> Touched:
        return matrix_vector_touched(self.iterations, self.sum_words, 1, self.out.words)

    def resources(self) -> Resources:
        """Sums, tables, the words of x where they are read again, and the counters of the loops."""
        outputs, groups = self.out.lanes, self.out.groups
        sums = self.sums(outputs, self.sum_words > 1 or self.bias is not None)
        return sums + self.constants(outputs, groups) + self.kept(groups) + counters(groups, self.sum_words)

    @classmethod
    def shapes(cls, operation: Operation[ops.Linear]) -> Iterable[Fold]:
        return own_lanes(operation)


def matrix_vector_touched(iterations: int, window_words: int, windows: int, out_words: int) -> Touched:
    """When parts/matrix_vector reads `windows` windows and writes."""
    starts = every(windows, iterations // windows)[:, None]
    return Touched({0: (starts + every(window_words)).ravel()}, {0: every(out_words, window_words, window_words - 1)})
