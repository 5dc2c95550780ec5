"""Resource usage of a piece of hardware."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

NAMES = ("lut", "ff", "dsp", "bram18", "lutram")


@dataclass(frozen=True)
class Resources:
    """Resource usage, estimated; sums stay fractions until they are shown.

    Attributes:
        lut: LUTs, those used as memory among them.
        ff, dsp, bram18: flip-flops, DSP48E2 blocks, block RAMs of 18 Kbit.
        lutram: the LUTs among `lut` that are memory or shift register.
        other_lut: LUTs by the other source where the two known ones disagree; equal to `lut` where they agree.
        uncertain: why they disagree, and what else cannot be known without the vendor's tools.
    """

    lut: float = 0.0
    ff: float = 0.0
    dsp: float = 0.0
    bram18: float = 0.0
    lutram: float = 0.0
    other_lut: float | None = None
    uncertain: frozenset[str] = frozenset()

    @property
    def lut_by_other(self) -> float:
        """LUTs by the other source."""
        return self.lut if self.other_lut is None else self.other_lut

    def __add__(self, other: Resources) -> Resources:
        agree = self.other_lut is None and other.other_lut is None
        return Resources(
            *(getattr(self, name) + getattr(other, name) for name in NAMES),
            other_lut=None if agree else self.lut_by_other + other.lut_by_other,
            uncertain=self.uncertain | other.uncertain,
        )

    def __mul__(self, count: float) -> Resources:
        """`count` of them."""
        scaled = None if self.other_lut is None else count * self.other_lut
        return replace(self, **{name: count * getattr(self, name) for name in NAMES}, other_lut=scaled)

    def rounded(self) -> dict[str, int]:
        """Whole numbers, rounded up: lut, ff, dsp, bram18, lutram, and lut_by_other."""
        whole = {name: math.ceil(round(getattr(self, name), 6)) for name in NAMES}
        return whole | {"lut_by_other": math.ceil(round(self.lut_by_other, 6))}

    def exceeds(self, available: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """What is short of `available`, a board's resources: name -> (needed, available)."""
        return {name: (self.rounded()[name], available[name]) for name in NAMES if self.rounded()[name] > available[name]}


def total(parts: Iterable[Resources]) -> Resources:
    """Their sum."""
    result = Resources()
    for part in parts:
        result += part
    return result
