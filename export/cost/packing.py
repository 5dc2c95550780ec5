"""Several products that share an activation in one multiplication of a DSP48E2, whose ports take 27 and 18 bits.

    packed     = sum over lanes l of weight[l] * 2^(l * lane_width)
    x * packed = sum over lanes l of x * weight[l] * 2^(l * lane_width)

Sums of packed products are packed sums as long as every lane's sum fits its lane. Lane l of a total, read back:

    bits l*lane_width and up of the total, plus the bit below them (the borrow of a negative sum in the lane below)

The table of weights stores a packed word without the bits that repeat a sign: a field per lane, those above the lowest one
less by the borrow of the lane below. The word is made from its fields by wiring, without logic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from qfx.errors import ExportError
from qfx.export.cost.datapath import Datapath, signed_width
from qfx.fixed import FixedType

WEIGHT_PORT, X_PORT, TOTAL = 27, 18, 48
"""Bits of the ports and of the sum of a DSP48E2."""
MOST_LANES = 3

Range = tuple[int, int]
"""Least and largest code."""


class Field(NamedTuple):
    """Where a lane's weight lies in a stored entry, and how many copies of its highest bit fill the lane."""

    low: int
    high: int
    extension: int


@dataclass(frozen=True)
class Packing(Datapath):
    """How weights are packed.

    Attributes:
        lanes: products per multiplication.
        lane_width: bits from one lane to the next.
        x_width, x_signed: format of the activation.
        x_range, weight_range: least and largest code that occur.
    """

    lanes: int
    lane_width: int
    x_width: int
    x_signed: bool
    x_range: Range
    weight_range: Range

    kind: ClassVar[str] = "packed_multiply"

    @property
    def x_bits(self) -> int:
        """x as a signed number, as the port takes it."""
        return self.x_width + (not self.x_signed)

    @property
    def fields(self) -> list[Field]:
        """Lowest lane first."""
        low, high = self.weight_range
        found: list[Field] = []
        at = 0
        for lane in range(self.lanes):
            width = signed_width(min(low, low - (lane > 0)), high)
            found.append(Field(at, at + width - 1, self.lane_width - width if lane < self.lanes - 1 else 0))
            at += width
        return found

    @property
    def stored_width(self) -> int:
        """Bits of an entry of the table: all lanes."""
        return self.fields[-1].high + 1

    @property
    def packed_width(self) -> int:
        """Bits of the packed word."""
        top = self.fields[-1]
        return (self.lanes - 1) * self.lane_width + top.high - top.low + 1

    @property
    def total_width(self) -> int:
        """Bits of one product of x and a packed word."""
        return self.x_bits + self.packed_width

    @property
    def accumulations(self) -> int:
        """Packed products that can be added before some lane's sum may leave its lane; 0 if even one product may."""
        ends = [x * weight for x in self.x_range for weight in self.weight_range]
        low, high = min(0, *ends), max(0, *ends)
        count = TOTAL_TERMS
        for lane in range(self.lanes):
            width = self.lane_width if lane < self.lanes - 1 else TOTAL - lane * self.lane_width
            borrowed = lane > 0  # the lane below may take one
            if low:
                count = min(count, ((1 << (width - 1)) - borrowed) // -low)
            if high:
                count = min(count, ((1 << (width - 1)) - 1) // high)
        return count

    def pack(self, weights: Sequence[int]) -> int:
        """The stored entry of one weight per lane, lowest first, as an unsigned code.

        Raises:
            ExportError: a weight outside `weight_range`, or not one per lane.
        """
        low, high = self.weight_range
        if len(weights) != self.lanes or min(weights) < low or max(weights) > high:
            raise ExportError(f"packing takes {self.lanes} weights from {low} to {high}, not {list(weights)}")
        packed = sum(weight << (lane * self.lane_width) for lane, weight in enumerate(weights))
        entry = 0
        for lane, field in enumerate(self.fields):
            mask = (1 << (field.high - field.low + 1)) - 1
            entry |= ((packed >> (lane * self.lane_width)) & mask) << field.low
        return entry

    def terms(self) -> dict[str, float]:
        return {"borrowed_bits": self.total_width - self.lane_width}

    @property
    def flip_flops(self) -> float:
        return self.total_width + min(self.lanes * self.lane_width, self.total_width + 1)

    @property
    def dsps(self) -> int:
        return 1


TOTAL_TERMS = 1 << 20
"""More terms than any sum has."""


def best_packing(x: FixedType, x_range: Range, weight_range: Range, terms: int = 1) -> Packing | None:
    """The packing with the most lanes, and then the most accumulations; None if two products do not fit.

    Lanes are as wide as the port allows for this range of weights: 18 bits for two weights of the whole int8 range, 11 for
    three of the whole int4 range.

    Args:
        x: format of the activation.
        x_range, weight_range: least and largest code that occur; a bound of the graph serves.
        terms: packed products that are to be added before the lanes are read back.
    """
    for lanes in range(MOST_LANES, 1, -1):
        for lane_width in range(WEIGHT_PORT // (lanes - 1), 1, -1):
            found = Packing(lanes, lane_width, x.width, x.signed, x_range, weight_range)
            if fits(found) and found.accumulations >= terms:
                return found
    return None


def fits(packing: Packing) -> bool:
    """Whether the ports take the packed word and x, and every field its lane."""
    return (
        packing.packed_width <= WEIGHT_PORT
        and packing.x_bits <= X_PORT
        and all(field.extension >= 0 for field in packing.fields)
        and packing.accumulations >= 1
    )


def check_packing(packing: Packing, terms: int, where: str) -> None:
    """At export: the packing holds for the bounds it states and for `terms` packed products in a sum.

    Raises:
        ExportError: it does not; the message names the layer and both numbers.
    """
    if not fits(packing):
        raise ExportError(
            f"{where}: {packing.lanes} weights from {packing.weight_range[0]} to {packing.weight_range[1]} in lanes of"
            f" {packing.lane_width} bits take {packing.packed_width} bits and x {packing.x_bits}; a DSP48E2 takes {WEIGHT_PORT} and"
            f" {X_PORT}; use fewer lanes"
        )
    if terms > packing.accumulations:
        raise ExportError(
            f"{where}: {terms} packed products are added in lanes of {packing.lane_width} bits, which hold {packing.accumulations};"
            " read the lanes back more often, or use fewer lanes"
        )
