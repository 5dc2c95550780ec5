"""rearrange: the same codes in another order."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from qfx import ops
from qfx.export.cost.memory import table
from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.base import Header
from qfx.export.hls.kernels.reshape import ThroughMemory
from qfx.export.hls.stage_settings import Settings
from qfx.fixed import IntArray


class Rearrange(ThroughMemory[ops.Rearrange]):
    """A frame is read back in another order of its axes, by nested counters or by a table of addresses."""

    serves = ops.Rearrange
    functions = ("rearrange#", "rearrange_table")

    @cached_property
    def addresses(self) -> IntArray:
        """Channel-major addresses of x in the order of the stream of the result."""
        op, size = self.op, self.x.value.size
        moved = np.transpose(np.arange(size, dtype=np.int64).reshape(op.dims), op.order).reshape(op.shape)
        return np.moveaxis(moved, 0, -1).ravel()

    @cached_property
    def counters(self) -> list[tuple[int, int]] | None:
        """(count, step) of the counters that run through the addresses, if there are any that do."""
        return counters_of(self.addresses)

    @property
    def function(self) -> str:
        return "rearrange_table" if self.counters is None else f"rearrange{len(self.counters)}"

    @property
    def header(self) -> Header:
        by_table = self.counters is None
        return self.from_template(self.function, "rearrange", count=len(self.counters or ()), table="_table" if by_table else "")

    def kept(self) -> Resources:
        """A frame, and the addresses where they are a table."""
        size = self.x.value.size
        return super().kept() + (table((size - 1).bit_length(), size) if self.counters is None else Resources())

    def describe(self, settings: Settings) -> None:
        size = self.x.value.size
        settings.constant(size=size)
        if self.counters is None:
            comment = "channel-major addresses of x, [place in the stream of the result][0]"
            settings.code_table("address", self.addresses.tolist(), (size - 1).bit_length(), comment)
            return
        for index, (count, step) in enumerate(self.counters):
            settings.constant(**{f"count_{index}": count, f"step_{index}": step})


def counters_of(addresses: IntArray) -> list[tuple[int, int]] | None:
    """Nested counters, the fastest first, that run through `addresses`: (count, step), the step from the last place of the
    counters below to the next start. None if there are no such counters."""
    counters: list[tuple[int, int]] = []
    rest, reach = addresses, 0
    while len(rest) > 1:
        stride = int(rest[1] - rest[0])
        count = _longest_run(rest, stride)
        if count is None:
            return None
        counters.append((count, stride - reach))
        reach += stride * (count - 1)
        rest = rest[::count]
    return counters or [(1, 0)]


def _longest_run(addresses: IntArray, stride: int) -> int | None:
    """The largest divisor of the length, 2 or more, into runs of which all addresses fall with this stride."""
    steps = np.diff(addresses)
    breaks = np.flatnonzero(steps != stride) + 1
    for count in range(int(breaks[0]) if len(breaks) else len(addresses), 1, -1):
        if len(addresses) % count == 0 and not np.any(breaks % count):
            return count
    return None
