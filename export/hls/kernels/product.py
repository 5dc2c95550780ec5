"""`x * constant`: how a kernel makes it, and how the constants lie in its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qfx.errors import ExportError
from qfx.export.cost.computing import Multiply, MultiplyKhot, dsp_blocks
from qfx.export.cost.memory import table
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Product
from qfx.export.hls.kernels.base import LANES, Header
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings
from qfx.export.hls.words import Words
from qfx.fixed import FixedType
from qfx.ir import Value
from qfx.ops.base import Op

ENTRY_BITS = 64
"""Widest table entry: what an integer literal can initialise."""

MOST_DIGITS = 2
"""Signed digits of a constant up to which shifts and additions at run time may take less than a multiplier in LUTs."""

ENDINGS = ("", "_khot", "_dsp", "_lut", "_packed")
"""Of functions that multiply by constants."""


@dataclass(frozen=True)
class Encoding:
    """How the constants of a product lie in their table.

    Attributes:
        bits: of one constant.
        encode: code -> unsigned bits.
    """

    bits: int
    encode: Callable[[int], int]

    def entries(self, codes: Sequence[int], per_entry: int = 1) -> list[int]:
        """`codes` as entries of `per_entry` constants each, the first in the low bits."""
        return [
            sum(self.encode(int(code)) << (i * self.bits) for i, code in enumerate(codes[start : start + per_entry]))
            for start in range(0, len(codes), per_entry)
        ]

    def per_entry(self, count: int) -> int:
        """How many of `count` constants share an entry: the largest divisor that fits."""
        return max(d for d in range(1, count + 1) if count % d == 0 and d * self.bits <= ENTRY_BITS)


class ByConstants:
    """The products of an operation whose second operand is constant.

    Args:
        digits: most signed digits of a constant where the graph says so: products are shifts and additions then.
        product: of the fold, elsewhere.
    """

    def __init__(self, operation: Operation[Op], digits: int | None, product: Product) -> None:
        self.operation = operation
        self.x: FixedType = operation.x.type
        self.factor = operation.operands[1]
        self.way: Product = product if digits is None else "khot"

    @property
    def ending(self) -> str:
        """Of the names of the functions that multiply so."""
        return f"_{self.way}" if self.way else ""

    @property
    def header(self) -> Header:
        """The header with the product."""
        switches = {way: f"_{way}" if self.way == way else "" for way in ("dsp", "lut")}
        template = "parts/multiply_khot" if self.way == "khot" else "parts/multiply"
        values = {} if self.way == "khot" else {"product": self.ending, **switches}
        return Header(f"multiply{self.ending}", template, values, (LANES,))

    def describe(self, settings: Settings) -> Encoding:
        """Add the types of the product; returns how its constants are encoded.

        Raises:
            ExportError: a K-hot constant too wide for a table entry.
        """
        return self._shifts(settings) if self.way == "khot" else self._multiplier(settings)

    def _multiplier(self, settings: Settings) -> Encoding:
        type = self.factor.type
        settings.code("constant", type.signed, type.width)
        settings.code("constant_bits", False, type.width)
        settings.code("product", self.x.signed or type.signed, self.x.width + type.width)
        settings.constant(constant_width=type.width, bits_width=type.width)
        return Encoding(type.width, lambda code: code & ((1 << type.width) - 1))

    def _shifts(self, settings: Settings) -> Encoding:
        digits = self.operation.digits
        bits = digits.count * digits.digit_width
        if bits > ENTRY_BITS:
            raise ExportError(
                f"constant {self.factor.name!r}: {digits.count} digits of {digits.digit_width} bits exceed the {ENTRY_BITS} bits"
                f" of a table entry; use at most {ENTRY_BITS // digits.digit_width} digits or a narrower format"
            )
        settings.code("constant_bits", False, bits)
        settings.code("shift", False, digits.shift_bits)
        settings.code("product", True, self.x.width + digits.top + digits.count + 1)
        settings.constant(digits=digits.count, digit_width=digits.digit_width, shift_width=digits.shift_bits, bits_width=bits)
        return Encoding(bits, digits.encode)

    @property
    def table_bits(self) -> int:
        """Bits of one constant in a table."""
        digits = self.operation.digits
        return digits.count * digits.digit_width if self.way == "khot" else self.factor.type.width

    def resources(self) -> Resources:
        """Resource usage of one product."""
        return product_resources(self.x, self.factor.type.width, self.way, self.operation.digits if self.way == "khot" else None)


def product_resources(x: FixedType, other: int, way: Product, digits: Any = None) -> Resources:
    """One product of x and a factor of `other` bits: by shifts for these `digits`, in LUTs, or in DSPs."""
    if way == "khot":
        return MultiplyKhot(x.width + (not x.signed), digits.count, digits.shift_bits).resources()
    if way == "lut":
        return Multiply(x.width, other, x.signed).resources()
    return Resources(dsp=dsp_blocks(x.width + (not x.signed), other))


def product_ways(operation: Operation[Op], digits: int | None) -> tuple[Product, ...]:
    """Ways to multiply by constants; none to choose from where they are K-hot."""
    if digits is not None:
        return ("",)
    return ("", "dsp", "lut", "khot") if operation.digits.count <= MOST_DIGITS else ("", "dsp", "lut")


def lane_table(settings: Settings, accessor: str, value: Value, encoding: Encoding, out: Words) -> None:
    """Add a table with one entry per channel, [group][lane]."""
    codes = np.tile(value.codes, out.whole_pixels)
    rows = [encoding.entries(codes[i : i + out.lanes].tolist()) for i in range(0, codes.size, out.lanes)]
    comment = f"{value.name}: {value.type.ap_name}, [channel group][lane]"
    settings.table(accessor, rows, encoding.bits, "constant_bits", comment)


def aligned_table(settings: Settings, accessor: str, value: Value | None, out: Words) -> None:
    """Add the table of a bias or offset on the grid of the result, [group][lane]; zeros, not stored, if there is none."""
    codes = [] if value is None else [int(code) << (out.type.frac - value.type.frac) for code in value.codes]
    type = FixedType.for_range(min([0, *codes]), max([0, *codes]), out.type.frac)
    mask = (1 << type.width) - 1
    bits = [code & mask for code in codes] * out.whole_pixels
    rows = [bits[i : i + out.lanes] for i in range(0, len(bits), out.lanes)]
    settings.code(f"{accessor}_code", type.signed, type.width)
    settings.code(f"{accessor}_bits", False, type.width)
    settings.constant(**{f"{accessor}_width": type.width})
    if value is None:
        settings.zeros(accessor, type.width, f"{accessor}_bits")
        return
    comment = f"{value.name}: {value.type.ap_name}, on the grid of the result, [channel group][lane]"
    settings.table(accessor, rows, type.width, f"{accessor}_bits", comment)


def constants_table(out: Words, bits: int) -> Resources:
    """A table with `bits` per lane of the words of a pixel."""
    return table(min(out.lanes, out.channels) * bits, out.groups)
