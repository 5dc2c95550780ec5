"""A datapath: parameters, what its size depends on, and its resources by calibrated coefficients.

    LUTs = sum over terms of coefficient[term] * term

The terms are counts that follow from how the datapath is built, such as the bits that its adders add. Their coefficients
are fitted by benchmarks/cost_calibration.py to what yosys makes of the datapath's RTL (`hls_templates/rtl/<kind>.v.j2`)
and lie in coefficients.json. Flip-flops are counted, not fitted: they are the registers that the RTL has.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from qfx.export.cost.resources import Resources


@functools.cache
def coefficient_table() -> Mapping[str, Any]:
    """coefficients.json: `source` (tool, command, date) and `coefficients`, kind -> term -> LUTs."""
    file = importlib.resources.files("qfx") / "export" / "cost" / "coefficients.json"
    return json.loads(file.read_text(encoding="utf-8"))


class Datapath(ABC):
    """Base of all datapaths. Subclasses are frozen dataclasses; their fields are the parameters of the RTL."""

    kind: ClassVar[str]
    """Name in the coefficients, and of the RTL template."""
    other_source: ClassVar[str] = "yosys and FINN's published Vivado fit differ"
    """What `other_luts` is, where there are any."""

    @abstractmethod
    def terms(self) -> dict[str, float]:
        """What the LUTs are a linear function of."""

    @property
    @abstractmethod
    def flip_flops(self) -> float:
        """Registers."""

    @property
    def dsps(self) -> int:
        """DSP48E2 blocks."""
        return 0

    def memory_luts(self) -> float:
        """LUTs used as memory or shift register."""
        return 0.0

    def other_luts(self) -> float | None:
        """LUTs by another published source, where there is one."""
        return None

    def luts(self, coefficients: Mapping[str, float] | None = None) -> float:
        """LUTs, estimated.

        Args:
            coefficients: term -> LUTs; None for the calibrated ones.
        """
        known = coefficient_table()["coefficients"][self.kind] if coefficients is None else coefficients
        return max(0.0, sum(known[name] * count for name, count in self.terms().items()))

    def resources(self) -> Resources:
        """All of it."""
        other = self.other_luts()
        note = frozenset[str]() if other is None else frozenset({f"{self.kind}: {self.other_source}"})
        return Resources(self.luts(), self.flip_flops, self.dsps, 0.0, self.memory_luts(), other, note)


def signed_width(low: int, high: int) -> int:
    """Bits of the narrowest two's complement format that holds low .. high."""
    return max((~low if low < 0 else low).bit_length(), (~high if high < 0 else high).bit_length()) + 1
