"""The settings of one stage: what `layers.hpp` prints as a struct and `weights.hpp` as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from qfx.errors import ExportError
from qfx.export.hls.words import Wire
from qfx.fixed import FixedType

Storage = Literal["", "lut", "bram"]
"""Where constants lie; empty for what the tools choose."""

MAX_AP_WIDTH = 1024
"""AP_INT_MAX_W's default: the widest ap_int that the tools accept without asking."""


@dataclass(frozen=True)
class Code:
    """`typedef ap_int<width> name;`, or ap_uint."""

    name: str
    signed: bool
    width: int

    @classmethod
    def covering(cls, name: str, low: int, high: int) -> Code:
        """The narrowest type of the codes low .. high."""
        width = max((code if code >= 0 else ~code).bit_length() for code in (low, high))
        return cls(name, low < 0, max(1, width + (low < 0)))


@dataclass(frozen=True)
class Fixed:
    """`typedef ap_fixed<width, integer> name;`, or ap_ufixed, with modes if it is a target; as wide as an ap_fixed can be."""

    name: str
    signed: bool
    width: int
    integer: int
    modes: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, type: FixedType, modes: tuple[str, ...] = ()) -> Fixed:
        """The typedef of a format."""
        return cls(name, type.signed, type.width, type.integer, modes)


@dataclass(frozen=True)
class Constant:
    """`static const <type> name = value;`

    Attributes:
        signed: whether it counts below 0 later, though it may be 0 or above itself.
    """

    name: str
    value: int
    signed: bool = False

    @property
    def c_type(self) -> str:
        """The narrowest of int, unsigned and their long long forms."""
        if self.value < -(1 << 31):
            return "long long"
        if self.value < 0 or self.signed:
            return "int"
        return "unsigned" if self.value < 1 << 32 else "unsigned long long"

    @property
    def literal(self) -> str:
        """The value with the suffix of its type."""
        return f"{self.value}{'LL' if self.value < -(1 << 31) else 'ULL' if self.value >= 1 << 32 else ''}"


@dataclass(frozen=True)
class Table:
    """Packed constants.

    Attributes:
        accessor: the function of the struct that reads the table.
        name: of the table in `weights.hpp`; empty for a table of zeros, which is not stored.
        rows: unsigned entries, [word][entry].
        bits: of an entry, at most 64.
        bits_type: typedef of the struct for an entry.
        comment: what it holds.
        ports: entries that are read at once, each at an address of its own.
        storage: where it lies.
    """

    accessor: str
    name: str
    rows: list[list[int]]
    bits: int
    bits_type: str
    comment: str
    ports: int = 1
    storage: Storage = ""

    @property
    def impl(self) -> str:
        """UG1399's name of the storage, for BIND_STORAGE."""
        return {"lut": "lutram", "bram": "bram"}[self.storage]

    @property
    def c_type(self) -> str:
        """The narrowest unsigned type that holds an entry."""
        types = ((8, "unsigned char"), (16, "unsigned short"), (32, "unsigned int"), (64, "unsigned long long"))
        return next(name for width, name in types if width >= self.bits)

    @property
    def single(self) -> bool:
        """Whether one constant serves all places."""
        return len(self.rows) == len(self.rows[0]) == 1

    @property
    def digits(self) -> int:
        """Hexadecimal digits of an entry."""
        return (self.bits + 3) // 4


@dataclass
class Settings:
    """A struct of typedefs, constants and table accessors, which the kernels of a stage take as template argument.

    Attributes:
        name: of the struct in namespace `layer`.
        wires: traits by their name in the struct: in, in_1, in_2, ..., out.
        comment: `layer1.conv: conv2d(stride=(2, 2)) -> ap_fixed<12, 7>, 8 x 16 x 16; SIMD 36, PE 4, products packed`.
        padding: what a sliding window sees outside the image; empty where none slides.
    """

    name: str
    wires: dict[str, Wire]
    comment: str = ""
    codes: list[Code] = field(default_factory=list[Code])
    fixed: list[Fixed] = field(default_factory=list[Fixed])
    constants: list[Constant] = field(default_factory=list[Constant])
    tables: list[Table] = field(default_factory=list[Table])
    padding: Literal["", "zero", "lowest"] = ""

    def constant(self, **values: int) -> None:
        """Add constants; negative values are allowed."""
        self.constants += [Constant(name.upper(), value) for name, value in values.items()]

    def counter(self, **values: int) -> None:
        """Add constants from which a signed counter starts."""
        self.constants += [Constant(name.upper(), value, signed=True) for name, value in values.items()]

    def code(self, name: str, signed: bool, width: int) -> None:
        """Add an integer type."""
        self.codes.append(Code(name, signed, width))

    def table(
        self, accessor: str, rows: list[list[int]], bits: int, bits_type: str, comment: str, ports: int = 1, storage: Storage = ""
    ) -> None:
        """Add a table, which is stored under the name of the struct and of its accessor."""
        name = f"{self.name}_{accessor}_table"
        self.tables.append(Table(accessor, name, rows, bits, bits_type, comment, ports, storage))

    def zeros(self, accessor: str, bits: int, bits_type: str) -> None:
        """Add a table of zeros, which is not stored."""
        self.tables.append(Table(accessor, "", [], bits, bits_type, ""))

    def code_table(self, accessor: str, codes: Sequence[int], width: int, comment: str, ports: int = 1) -> None:
        """Add a table of single codes, [place][0], of type `<accessor>_bits`.

        Args:
            ports: entries that are read at once.
        """
        self.code(f"{accessor}_bits", False, width)
        rows = [[code & ((1 << width) - 1)] for code in codes]
        self.table(accessor, rows, width, f"{accessor}_bits", comment, ports)

    def check(self, node: str) -> None:
        """Raises ExportError if a type is wider than an ap_int can be; names the node."""
        for code in self.codes:
            if code.width > MAX_AP_WIDTH:
                raise ExportError(f"node {node!r}: its {code.name} takes {code.width} bits, above the {MAX_AP_WIDTH} of an ap_int")
