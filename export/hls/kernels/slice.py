"""slice: every n-th place of each axis from a start to a stop."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from qfx import ops
from qfx.errors import ExportError
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.base import Header, Touched, every, where
from qfx.export.hls.kernels.movement import Movement
from qfx.export.hls.kernels.op import own_lanes
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings


class Slice(Movement[ops.Slice]):
    """Every STEP-th place of each axis from its START to its LAST: whole words, or a code at a time."""

    serves = ops.Slice
    functions = ("slice", "slice_words")
    latency = 3
    takes = "counters"

    @property
    def whole_words(self) -> bool:
        """Whether words are taken whole or not at all."""
        fold, op = self.fold, self.op
        return fold.reads[0] == fold.writes and op.steps[0] == 1 and op.starts[0] % fold.reads[0] == 0

    @property
    def function(self) -> str:
        return "slice_words" if self.whole_words else "slice"

    @property
    def header(self) -> Header:
        return self.from_template(self.function, "slice", words="_words" if self.whole_words else "")

    @property
    def places(self) -> int:
        """Words, or codes, of a pixel of x."""
        return self.x.channels // (self.x.lanes if self.whole_words else 1)

    def spans(self) -> dict[str, tuple[int, int, int]]:
        """First, step and count of what is kept: by row, column, and word or code of a pixel.

        Raises:
            ExportError: more than 3 axes; names the node.
        """
        op, out = self.op, self.out
        if len(op.starts) > 3:
            raise ExportError(
                f"node {self.operation.name!r}: the HLS export slices up to 3 axes, not {len(op.starts)}; reshape first"
            )
        names = ("channel", "column") if len(op.starts) == 2 else ("channel", "row", "column")
        axes = zip(names, op.starts, op.steps, out.value.shape, strict=False)
        found = {"channel": (0, 1, 1), "row": (0, 1, 1), "column": (0, 1, 1)}
        found |= {axis: (start, step, count) for axis, start, step, count in axes}
        per_word = self.x.lanes if self.whole_words else 1
        first, step, _ = found["channel"]
        return found | {"channel": (first // per_word, step, out.channels // per_word)}

    def describe(self, settings: Settings) -> None:
        spans = self.spans()
        settings.constant(columns=self.x.width, channels=self.places)
        for axis, (first, step, count) in spans.items():
            settings.constant(**{f"start_{axis}": first, f"step_{axis}": step, f"last_{axis}": first + (count - 1) * step})

    @property
    def iterations(self) -> int:
        """Words of x, or its codes."""
        return self.x.height * self.x.width * self.places

    def touched(self) -> Touched:
        mask = np.zeros((self.x.height, self.x.width, self.places), np.int64)
        spans = self.spans()
        rows, columns, channels = (
            slice(first, first + (count - 1) * step + 1, step)
            for first, step, count in (spans[axis] for axis in ("row", "column", "channel"))
        )
        mask[rows, columns, channels] = 1
        if self.whole_words:
            return Touched({0: every(mask.size)}, {0: where(mask)})
        lanes = self.out.lanes
        return Touched({0: every(self.x.words, self.x.lanes)}, {0: where(mask)[lanes - 1 :: lanes]})

    @classmethod
    def shapes(cls, operation: Operation[ops.Slice]) -> Iterable[Fold]:
        return own_lanes(operation)
