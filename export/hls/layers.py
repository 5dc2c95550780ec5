"""The settings of one stage: what `layers.hpp` prints as a struct and `weights.hpp` as tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from qfx.export.hls.folding import Fold
from qfx.export.hls.plan import Wire
from qfx.fixed import FixedType


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
    """A typedef of an ap_fixed, with modes if it is a target."""

    name: str
    type: FixedType
    modes: str = ""


@dataclass(frozen=True)
class Table:
    """Packed constants.

    Attributes:
        accessor: the function of the layer that reads the table.
        name: of the table in `weights.hpp`; empty for a table of zeros, which is not stored.
        rows: unsigned entries, [word][entry].
        bits: of an entry, at most 64.
        bits_type: typedef of the layer for an entry.
        comment: what it holds.
        ports: entries that are read at once, each at an address of its own.
        storage: `lut` or `bram`; empty for what the tools choose.
    """

    accessor: str
    name: str
    rows: list[list[int]]
    bits: int
    bits_type: str
    comment: str
    ports: int = 1
    storage: str = ""

    @property
    def impl(self) -> str:
        """The tools' name of the storage."""
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
class Layer:
    """A struct of constants, typedefs and table accessors.

    Attributes:
        name: of the struct in namespace `layer`.
        kernel: function template of the stage.
        headers: kernel files that the stage needs.
        comment: what the layer is.
        wires: traits by their name in the struct: in, in_1, in_2, ..., out.
        fold: its parallelism.
        window: kernel of the stage before that picks the words under each window; empty if there is none.
        window_words: words a frame that this stage sends.
        padding_lowest: outside the image lies the smallest code instead of zero.
    """

    name: str
    kernel: str
    headers: list[str]
    comment: str
    wires: dict[str, Wire]
    fold: Fold
    codes: list[Code] = field(default_factory=list[Code])
    fixed: list[Fixed] = field(default_factory=list[Fixed])
    constants: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    tables: list[Table] = field(default_factory=list[Table])
    window: str = ""
    window_words: int = 0
    padding_lowest: bool = False

    @property
    def x(self) -> Wire:
        return self.wires["in"]

    @property
    def out(self) -> Wire:
        return self.wires["out"]

    @property
    def pixels(self) -> int:
        """Whole pixels in a word of results; 1 where a pixel has several words."""
        return self.fold.pixels(self.out.channels)

    def constant(self, **values: int) -> None:
        """Add `static const` members; negative values are allowed."""
        self.constants += [(name.upper(), value) for name, value in values.items()]
