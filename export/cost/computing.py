"""Datapaths that compute. Widths are in bits; signals are signed unless a field says otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from qfx.export.cost.datapath import Datapath
from qfx.fixed import Overflow, Rounding


def finn_multiplier_luts(x_width: int, weight_width: int) -> int:
    """LUTs of a multiplier by FINN's cost model, fitted to Vivado: (2 * ceil((W + A) / 6) - 1) * (W + A)."""
    return (2 * math.ceil((x_width + weight_width) / 6) - 1) * (x_width + weight_width)


def multiplier_terms(x_width: int, weight_width: int) -> dict[str, float]:
    """Rows of partial products are added; the first three merge with the products in one LUT."""
    rows, bits = sorted((x_width, weight_width))
    return {
        "row_bits": (rows - 1) * bits,
        "later_row_bits": max(0, rows - 3) * bits,
        "bits": bits,
        "rows_squared": rows**2,
        "one": 1,
    }


@dataclass(frozen=True)
class Multiply(Datapath):
    """x * weight in LUTs; the weight is signed."""

    x_width: int
    weight_width: int
    x_signed: bool = True

    kind: ClassVar[str] = "multiply"

    @property
    def x_bits(self) -> int:
        """x as a signed number."""
        return self.x_width + (not self.x_signed)

    @property
    def product_width(self) -> int:
        return self.x_width + self.weight_width

    def terms(self) -> dict[str, float]:
        return multiplier_terms(self.x_width, self.weight_width)

    @property
    def flip_flops(self) -> float:
        return self.product_width

    def other_luts(self) -> float:
        return finn_multiplier_luts(self.x_width, self.weight_width)


@dataclass(frozen=True)
class MultiplyKhot(Datapath):
    """x times a weight of `digits` signed powers of two, each read from a table as (present, negative, shift)."""

    x_width: int
    digits: int
    shift_bits: int = 3

    kind: ClassVar[str] = "multiply_khot"

    @property
    def product_width(self) -> int:
        return self.x_width + (1 << self.shift_bits) - 1 + self.digits.bit_length()

    def terms(self) -> dict[str, float]:
        return {
            "shifter_bits": self.digits * (self.x_width + (1 << self.shift_bits) - 1) * self.shift_bits,
            "adder_bits": self.digits * self.product_width,
            "digits": self.digits,
        }

    @property
    def flip_flops(self) -> float:
        return self.digits * self.product_width


class Level(NamedTuple):
    """A level of an adder tree: numbers coming in, numbers going out, their width."""

    inputs: int
    results: int
    width: int


@dataclass(frozen=True)
class AdderTree(Datapath):
    """The sum of `inputs` numbers of `width` bits, two by two, every level registered."""

    inputs: int
    width: int

    kind: ClassVar[str] = "adder_tree"

    @property
    def levels(self) -> list[Level]:
        found: list[Level] = []
        inputs, width = self.inputs, self.width
        while inputs > 1:
            width += 1
            found.append(Level(inputs, (inputs + 1) // 2, width))
            inputs = (inputs + 1) // 2
        return found

    @property
    def result_width(self) -> int:
        return self.width + len(self.levels)

    def terms(self) -> dict[str, float]:
        return {"adder_bits": sum((level.inputs // 2) * (level.width - 1) for level in self.levels), "adders": self.inputs - 1}

    @property
    def flip_flops(self) -> float:
        return sum(level.results * level.width for level in self.levels)


@dataclass(frozen=True)
class Accumulate(Datapath):
    """sum = (first ? bias : sum) + x."""

    width: int
    x_width: int

    kind: ClassVar[str] = "accumulate"

    def terms(self) -> dict[str, float]:
        return {"width": self.width, "x_width": min(self.x_width, self.width), "one": 1}

    @property
    def flip_flops(self) -> float:
        return self.width


@dataclass(frozen=True)
class Add(Datapath):
    """x * 2^shift + y, exact."""

    x_width: int
    y_width: int
    shift: int = 0

    kind: ClassVar[str] = "add"

    @property
    def result_width(self) -> int:
        return max(self.x_width + self.shift, self.y_width) + 1

    def terms(self) -> dict[str, float]:
        low = min(self.shift, self.y_width)  # bits of y below x go through
        return {"adder_bits": self.result_width - low, "one": 1}

    @property
    def flip_flops(self) -> float:
        return self.result_width


@dataclass(frozen=True)
class Requantize(Datapath):
    """x without its lowest `dropped` bits, rounded and limited to `target_width` bits. x is signed."""

    source_width: int
    dropped: int
    target_width: int
    rounding: str = Rounding.RND.value
    overflow: str = Overflow.SAT.value
    target_signed: bool = True

    kind: ClassVar[str] = "requantize"

    @property
    def rounds(self) -> bool:
        """Whether something may be added."""
        return self.dropped > 0 and self.rounding != Rounding.TRN.value

    @property
    def kept_width(self) -> int:
        """Bits after rounding."""
        return max(1, self.source_width - self.dropped) + self.rounds

    @property
    def limits(self) -> bool:
        """Whether there is a range to limit to that x can leave."""
        return self.overflow != Overflow.WRAP.value and (self.kept_width > self.target_width or not self.target_signed)

    def terms(self) -> dict[str, float]:
        sticky = self.rounds and self.rounding != Rounding.RND.value
        above = max(0, self.kept_width - self.target_width)
        added = self.kept_width if self.limits else min(self.kept_width, self.target_width)
        return {
            "rounded_bits": added if self.rounds else 0,
            "sticky_bits": max(0, self.dropped - 1) if sticky else 0,
            "limited_bits": self.target_width if self.limits else 0,
            "checked_bits": above if self.limits else 0,
            "limits": self.limits,
            "unsigned_bits": self.target_width if self.limits and not self.target_signed else 0,
            "symmetric_bits": self.target_width if self.limits and self.overflow == Overflow.SAT_SYM.value else 0,
        }

    @property
    def flip_flops(self) -> float:
        return self.target_width


@dataclass(frozen=True)
class ReLU(Datapath):
    """max(x, 0)."""

    width: int

    kind: ClassVar[str] = "relu"

    def terms(self) -> dict[str, float]:
        return {"kept_bits": self.width - 1}

    @property
    def flip_flops(self) -> float:
        return 0


@dataclass(frozen=True)
class Clamp(Datapath):
    """min(max(x, lower), upper)."""

    width: int
    lower: int
    upper: int

    kind: ClassVar[str] = "clamp"

    def terms(self) -> dict[str, float]:
        compared = sum(self.width for bound in (self.lower, self.upper) if bound)  # the sign tells of 0
        return {"width": self.width, "compared_bits": compared, "one": 1}

    @property
    def flip_flops(self) -> float:
        return 0


@dataclass(frozen=True)
class Maximum(Datapath):
    """The largest of the numbers that come one a cycle: a maximum pool, or the comparison of an argmax."""

    width: int

    kind: ClassVar[str] = "maximum"

    def terms(self) -> dict[str, float]:
        return {"width": self.width, "one": 1}

    @property
    def flip_flops(self) -> float:
        return self.width


@dataclass(frozen=True)
class PReLU(Datapath):
    """x > 0 ? x * 2^shift : x * slope."""

    width: int
    slope_width: int
    shift: int

    kind: ClassVar[str] = "prelu"

    @property
    def product_width(self) -> int:
        return self.width + self.slope_width

    @property
    def result_width(self) -> int:
        return max(self.product_width, self.width + self.shift)

    def terms(self) -> dict[str, float]:
        return multiplier_terms(self.width, self.slope_width) | {"result_width": self.result_width}

    @property
    def flip_flops(self) -> float:
        return self.product_width + self.width + self.result_width


@dataclass(frozen=True)
class Popcount(Datapath):
    """The number of equal bits of two words: the dot product of binary vectors."""

    bits: int

    kind: ClassVar[str] = "popcount"

    @property
    def threes(self) -> int:
        """First counters: three pairs of bits are six inputs of a LUT."""
        return math.ceil(self.bits / 3)

    @property
    def tree(self) -> AdderTree:
        return AdderTree(self.threes, 2)

    @property
    def result_width(self) -> int:
        return self.tree.result_width

    def terms(self) -> dict[str, float]:
        return {"counters": self.threes, "tree": self.tree.terms()["adder_bits"]}

    @property
    def flip_flops(self) -> float:
        return 2 * self.threes + self.tree.flip_flops


def dsp_blocks(x_bits: int, weight_bits: int) -> int:
    """DSP48E2 blocks of a signed product: its ports take 27 and 18 bits, wider factors are cut into parts of 26 and 17."""
    small, large = sorted((x_bits, weight_bits))
    return (1 if small <= 18 else math.ceil((small - 1) / 17)) * (1 if large <= 27 else math.ceil((large - 1) / 26))
