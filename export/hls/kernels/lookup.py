"""lookup: an entry of a table for each code."""

from __future__ import annotations

import numpy as np

from qfx import ops
from qfx.export.cost.memory import table
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.elementwise import Elementwise
from qfx.export.hls.kernels.relu import TAKES
from qfx.export.hls.stage_settings import Settings


class Lookup(Elementwise[ops.Lookup]):
    """y = the entry of a table for each code; the bits of the code are the address."""

    serves = ops.Lookup
    latency = 3
    takes = TAKES
    passes = True

    def describe(self, settings: Settings) -> None:
        x, entries = self.operation.operands
        by_bits = np.roll(entries.codes, x.type.min_int)  # the bits of -1 come after those of the greatest code
        settings.code("address_bits", False, x.type.width)
        comment = f"{entries.name}: {entries.type.ap_name}, [bits of {x.name}][0]"
        settings.code_table("output", by_bits.tolist(), entries.type.width, comment, ports=self.x.lanes)

    def lane(self) -> Resources:
        return table(self.out.type.width, 1 << self.x.type.width)
