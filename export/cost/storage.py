"""Datapaths that keep things: tables of weights, line buffers, FIFOs, word converters, loop counters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from qfx.export.cost.datapath import Datapath


@dataclass(frozen=True)
class Rom(Datapath):
    """A table in LUTs, read once a cycle."""

    width: int
    depth: int

    kind: ClassVar[str] = "rom"
    other_source: ClassVar[str] = "two bits of a table of at most 32 words share a LUT on the device, not in yosys"

    @property
    def address_bits(self) -> int:
        return max(1, (self.depth - 1).bit_length())

    def terms(self) -> dict[str, float]:
        return {"pages": self.width * (1 << max(0, self.address_bits - 6))}

    @property
    def flip_flops(self) -> float:
        return self.width

    def other_luts(self) -> float | None:
        return math.ceil(self.width / 2) if self.depth <= 32 else None


@dataclass(frozen=True)
class LineBuffer(Datapath):
    """LUT memory with a port to write and one to read, and the register behind it."""

    width: int
    depth: int

    kind: ClassVar[str] = "line_buffer"

    @property
    def address_bits(self) -> int:
        return max(1, (self.depth - 1).bit_length())

    def memory_luts(self) -> float:
        """RAM32M16 holds 14 bits by 32 in 8 LUTs, RAM64M8 7 bits by 64."""
        if self.depth <= 32:
            return 8 * math.ceil(self.width / 14)
        return 8 * math.ceil(self.width / 7) * math.ceil(self.depth / 64)

    def terms(self) -> dict[str, float]:
        blocks = math.ceil(self.depth / 64)
        return {"memory": self.memory_luts(), "selected_bits": self.width * (blocks - 1), "blocks": blocks - 1}

    @property
    def flip_flops(self) -> float:
        return self.width


@dataclass(frozen=True)
class Fifo(Datapath):
    """A FIFO in shift registers, SRLC32E: 32 words of one bit in a LUT."""

    width: int
    depth: int

    kind: ClassVar[str] = "fifo"

    @property
    def address_bits(self) -> int:
        return max(1, (self.depth - 1).bit_length())

    def memory_luts(self) -> float:
        return self.width * math.ceil(self.depth / 32)

    def terms(self) -> dict[str, float]:
        blocks = math.ceil(self.depth / 32)
        return {
            "memory": self.memory_luts(),
            "selected_bits": self.width * (blocks - 1),
            "address_bits": self.address_bits,
            "one": 1,
        }

    @property
    def flip_flops(self) -> float:
        return self.address_bits + 2


@dataclass(frozen=True)
class Converter(Datapath):
    """Words of one width into words of another; one divides the other."""

    in_width: int
    out_width: int

    kind: ClassVar[str] = "converter"

    @property
    def widens(self) -> bool:
        return self.out_width > self.in_width

    @property
    def ratio(self) -> int:
        return max(self.in_width, self.out_width) // min(self.in_width, self.out_width)

    @property
    def count_bits(self) -> int:
        return max(1, (self.ratio - 1).bit_length())

    def terms(self) -> dict[str, float]:
        return {"loaded_bits": 0 if self.widens else self.in_width, "count_bits": self.count_bits, "one": 1}

    @property
    def flip_flops(self) -> float:
        return max(self.in_width, self.out_width) + self.count_bits + 1


@dataclass(frozen=True)
class Control(Datapath):
    """The counters of nested loops, outermost first."""

    bounds: tuple[int, ...]

    kind: ClassVar[str] = "control"

    @property
    def widths(self) -> list[int]:
        """Bits of each counter."""
        return [max(1, (bound - 1).bit_length()) for bound in self.bounds]

    def terms(self) -> dict[str, float]:
        return {"count_bits": sum(self.widths), "loops": len(self.bounds), "one": 1}

    @property
    def flip_flops(self) -> float:
        return sum(self.widths)
