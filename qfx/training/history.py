"""What a training leaves behind beside the trained model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qfx import notebook
from qfx.annotations import explained


@dataclass(frozen=True, repr=False)
class History:
    """How a training went.

    Attributes:
        losses: mean of each epoch.
        steps: of the optimizer.
        flips: per quantizer path, how often a binary point in use has changed.
    """

    losses: tuple[float, ...]
    steps: int
    flips: Mapping[str, int]

    def __repr__(self) -> str:
        way = f"loss {self.losses[0]:.4g} to {self.losses[-1]:.4g}" if self.losses else "no loss"
        return f"History({len(self.losses)} epochs of {self.steps} steps in all: {way}, {sum(self.flips.values())} flips)"

    def _repr_html_(self) -> str:
        """For notebooks: the loss of every epoch."""
        return notebook.table(repr(self), ("epoch", "loss"), [(epoch, f"{loss:.4g}") for epoch, loss in enumerate(self.losses, 1)])

    @classmethod
    @explained
    def joined(cls, parts: Sequence[History]) -> History:
        """Of trainings that followed each other."""
        flips: Counter[str] = Counter()
        for part in parts:
            flips.update(part.flips)
        return cls(tuple(loss for part in parts for loss in part.losses), sum(part.steps for part in parts), dict(flips))
