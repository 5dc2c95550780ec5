"""pad: an image with padding."""

from __future__ import annotations

import numpy as np

from qfx import ops
from qfx.export.hls.kernels.base import Touched, every, where
from qfx.export.hls.kernels.movement import Movement
from qfx.export.hls.stage_settings import Settings


class Pad(Movement[ops.Pad]):
    """y = x with padding of one code."""

    serves = ops.Pad
    latency = 3
    takes = "counters"

    def describe(self, settings: Settings) -> None:
        above, left = self.op.before
        settings.constant(above=above, left=left, columns=self.out.width, x_columns=self.x.width, border=self.op.code)

    def touched(self) -> Touched:
        inside = np.zeros((self.out.height, self.out.width, self.out.groups), np.int64)
        above, left = self.op.before
        inside[above : above + self.x.height, left : left + self.x.width] = 1
        return Touched({0: where(inside)}, {0: every(self.iterations)})
