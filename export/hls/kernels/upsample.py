"""upsample: each pixel repeated, or zeros between the pixels."""

from __future__ import annotations

import numpy as np

from qfx import ops
from qfx.export.cost.memory import buffer
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.base import Header, Touched, every, where
from qfx.export.hls.kernels.movement import Movement
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings


class Upsample(Movement[ops.Upsample]):
    """y[c, i, j] = x[c, i / factor, j / factor], rounded down; or zero where factor does not divide i and j."""

    serves = ops.Upsample
    functions = ("upsample", "upsample_zeros")
    latency = 3

    def __init__(self, operation: Operation[ops.Upsample], fold: Fold) -> None:
        super().__init__(operation, fold)
        self.takes = "counters" if self.op.zeros else "an image row of memory, counters"

    @property
    def function(self) -> str:
        return "upsample_zeros" if self.op.zeros else "upsample"

    @property
    def header(self) -> Header:
        return self.from_template(self.function, "upsample", (), zeros="_zeros" if self.op.zeros else "")

    def describe(self, settings: Settings) -> None:
        settings.constant(row_factor=self.op.factor[0], column_factor=self.op.factor[1])
        if self.op.zeros:
            settings.constant(columns=self.out.width)
        else:
            settings.constant(row_words=self.x.width * self.x.groups)

    def kept(self) -> Resources:
        """A row of x, which is sent again."""
        return Resources() if self.op.zeros else buffer(self.x.word_width, self.x.row_words)

    def touched(self) -> Touched:
        read = np.zeros((self.out.height, self.out.width, self.out.groups), np.int64)
        rows, columns = self.op.factor
        read[::rows, ::columns] = 1  # the upper left place of each block
        return Touched({0: where(read)}, {0: every(self.iterations)})
