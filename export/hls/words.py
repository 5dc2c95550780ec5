"""How values lie in streams: words, wires, AXI ports.

A word of a stream carries the codes of `lanes` neighbouring channels of a pixel, or of neighbouring pixels with all their channels;
codes come in the order (row, column, channel).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from qfx.fixed import FixedType
from qfx.ir import Value

SLOT_WIDTHS = (8, 16, 32, 64)
"""Bits that a code may take in a beat of an AXI stream."""


@dataclass(frozen=True)
class Words:
    """A value in words of so many codes.

    Attributes:
        value: the value.
        lanes: codes per word.
    """

    value: Value
    lanes: int

    @property
    def type(self) -> FixedType:
        return self.value.type

    @property
    def channels(self) -> int:
        return self.value.shape[0]

    @property
    def height(self) -> int:
        """Rows: 1 where the value has no more than one axis behind the channels."""
        return self.value.shape[1] if len(self.value.shape) > 2 else 1

    @property
    def width(self) -> int:
        """Columns: all that is behind the rows, row-major."""
        return math.prod(self.value.shape[2:] if len(self.value.shape) > 2 else self.value.shape[1:])

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def groups(self) -> int:
        """Words of a pixel; 1 where a word holds one or several whole pixels."""
        return max(1, self.channels // self.lanes)

    @property
    def whole_pixels(self) -> int:
        """Whole pixels in a word; 1 where a pixel has several words."""
        return max(1, self.lanes // self.channels)

    @property
    def words(self) -> int:
        """Words of a frame."""
        return self.value.size // self.lanes

    @property
    def row_words(self) -> int:
        """Words of a row."""
        return self.width * self.channels // self.lanes

    @property
    def word_width(self) -> int:
        """Bits of a word."""
        return self.lanes * self.type.width

    @property
    def shape_text(self) -> str:
        """`8 x 16 x 16`."""
        return " x ".join(map(str, self.value.shape))


@dataclass(frozen=True)
class Wire(Words):
    """A value in its stream.

    Attributes:
        name: C++ name of its traits in namespace `value`.
        stream: the stream that carries it; that of its operand for a label that moves nothing.
        view: whether these are other words than those that the value's own stage sends.
    """

    name: str
    stream: str
    view: bool = False

    @property
    def is_alias(self) -> bool:
        """Whether the value is its operand's stream under another label."""
        return not self.view and self.stream != self.name

    def by(self, lanes: int) -> Wire:
        """The wire in words of so many codes."""
        return self if self.lanes == lanes else replace(self, name=f"{self.name}_by{lanes}", lanes=lanes, view=True)


def slot_width(type: FixedType) -> int:
    """Bits that a code of this format takes in a beat."""
    return next(width for width in SLOT_WIDTHS if width >= type.width)


@dataclass(frozen=True)
class Port:
    """An AXI stream of the top function.

    Attributes:
        name: C++ name: `s_in`, `m_out`, or these with the value's name if there are several.
        beat: C++ name of the type of its beats.
        data: name of its golden data, without the ending.
        wire: the value that it carries.
        beat_width: bits of a beat.
    """

    name: str
    beat: str
    data: str
    wire: Wire
    beat_width: int

    @property
    def slot_width(self) -> int:
        """Bits that a code takes in a beat."""
        return slot_width(self.wire.type)

    @property
    def slots(self) -> int:
        """Codes of a beat."""
        return self.beat_width // self.slot_width

    @property
    def step(self) -> int:
        """Codes that go from beats to words, or back, in a cycle."""
        return math.gcd(self.slots, self.wire.lanes)

    @property
    def steps(self) -> int:
        """Cycles of a frame."""
        return self.wire.value.size // self.step

    @property
    def frame_beats(self) -> int:
        """Beats of a frame."""
        return -(-self.wire.value.size // self.slots)

    @property
    def codes_text(self) -> str:
        """`8 codes of image`."""
        return f"{self.slots} code{'s' * (self.slots > 1)} of {self.wire.value.name}"
