"""Several datapaths that make one: an array of multipliers with its adder trees and accumulators."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from qfx.export.cost.computing import Accumulate, AdderTree, Multiply, MultiplyKhot, Popcount, Requantize
from qfx.export.cost.datapath import Datapath, signed_width
from qfx.export.cost.packing import Packing
from qfx.export.cost.resources import Resources, total

Multiplier = Literal["dsp", "lut", "khot", "binary"]

TREE_IN_FABRIC = "dsp: sums are counted as adders in LUTs; a DSP48E2 could add the product of its neighbour instead"
PACKED = "dsp: whether Vitis HLS puts packed products into one DSP48E2 can be known from its report only"


@dataclass(frozen=True)
class MultiplierArray:
    """`outputs` sums, each of `inputs` products and accumulated over cycles.

    Attributes:
        outputs: PE; inputs: SIMD (taps times channels).
        multiplier: of each product; `binary` is XNOR and popcount, weights and x of one bit.
        x_width, x_signed, weight_width: formats of the factors; `weight_width` means nothing for K-hot weights.
        accumulator_width: bits of the sums; a tree's adders are not made wider than that.
        digits, shift_bits: of K-hot weights.
        packing: of weights of neighbouring outputs in a DSP48E2; None for a DSP each.
        accumulates: whether sums go on over cycles.
    """

    outputs: int
    inputs: int
    multiplier: Multiplier
    x_width: int
    weight_width: int
    accumulator_width: int
    x_signed: bool = True
    digits: int = 1
    shift_bits: int = 3
    packing: Packing | None = None
    accumulates: bool = True

    def parts(self) -> list[tuple[int, Datapath]]:
        """How many of which datapath."""
        products = self.outputs * self.inputs
        if self.multiplier == "binary":
            count = Popcount(self.inputs)
            return [(self.outputs, count), *self._accumulators(count.result_width)]
        if self.multiplier == "khot":
            khot = MultiplyKhot(self.x_width + (not self.x_signed), self.digits, self.shift_bits)
            return [(products, khot), *self._sums(khot.product_width)]
        if self.multiplier == "lut":
            multiply = Multiply(self.x_width, self.weight_width, self.x_signed)
            return [(products, multiply), *self._sums(multiply.product_width)]
        if self.packing is None:
            return self._sums(self.x_width + self.weight_width)
        return self._packed(self.packing)

    @property
    def _words(self) -> int:
        lanes = 1 if self.packing is None else self.packing.lanes
        return -(-self.outputs // lanes)

    def _packed(self, packing: Packing) -> list[tuple[int, Datapath]]:
        """Products are added while they are packed, as many as the lanes hold; then the lanes are read back and added."""
        terms = min(self.inputs, packing.accumulations)
        chunks = -(-self.inputs // terms)
        ends = [terms * x * weight for x in packing.x_range for weight in packing.weight_range]
        sums = self._sums(signed_width(min(0, *ends), max(0, *ends)), chunks)
        return [(self._words * chunks, packing), (self._words * chunks, AdderTree(terms, packing.total_width)), *sums]

    def _sums(self, product_width: int, inputs: int | None = None) -> list[tuple[int, Datapath]]:
        """Trees of `inputs` numbers each, and the accumulators behind them."""
        tree = AdderTree(inputs or self.inputs, min(product_width, self.accumulator_width))
        return [(self.outputs, tree), *self._accumulators(tree.result_width)]

    def _accumulators(self, width: int) -> list[tuple[int, Datapath]]:
        return [(self.outputs, Accumulate(self.accumulator_width, min(width, self.accumulator_width)))] if self.accumulates else []

    def resources(self) -> Resources:
        """All of it."""
        found = total(part.resources() * count for count, part in self.parts())
        if self.multiplier != "dsp":
            return found
        trees = total(part.resources() * count for count, part in self.parts() if isinstance(part, AdderTree))
        in_blocks = found.lut_by_other - trees.lut_by_other  # the adders of the tree move into the DSPs
        notes = {TREE_IN_FABRIC} if self.packing is None else {TREE_IN_FABRIC, PACKED}
        return replace(found, dsp=self._words * self.inputs, other_lut=in_blocks, uncertain=found.uncertain | notes)


@dataclass(frozen=True)
class MacArray(Datapath):
    """A multiplier array in LUTs and the casts behind it, as one module of RTL: the sum of its parts is checked against it."""

    outputs: int
    inputs: int
    x_width: int
    weight_width: int
    accumulator_width: int
    dropped: int
    target_width: int

    kind: ClassVar[str] = "mac_array"

    @property
    def product_width(self) -> int:
        return self.x_width + self.weight_width

    @property
    def tree(self) -> AdderTree:
        return AdderTree(self.inputs, self.product_width)

    @property
    def cast(self) -> Requantize:
        return Requantize(self.accumulator_width, self.dropped, self.target_width)

    @functools.cached_property
    def parts(self) -> list[tuple[int, Datapath]]:
        """How many of which datapath."""
        array = MultiplierArray(self.outputs, self.inputs, "lut", self.x_width, self.weight_width, self.accumulator_width)
        return [*array.parts(), (self.outputs, self.cast)]

    def terms(self) -> dict[str, float]:
        return {"parts": sum(count * part.luts() for count, part in self.parts)}

    @property
    def flip_flops(self) -> float:
        return sum(count * part.flip_flops for count, part in self.parts)
