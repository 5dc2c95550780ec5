"""Signed digits of constants: the non-adjacent form, in which a product is a few shifts and additions."""

from __future__ import annotations

from dataclasses import dataclass

from qfx.ir import Value


@dataclass(frozen=True)
class SignedDigits:
    """The signed digits of the codes of a constant.

    Attributes:
        forms: (shift, negative) of each digit of each code, lowest first.
        count: digits of a code at most, at least 1.
        top: the greatest shift.
    """

    forms: dict[int, list[tuple[int, bool]]]
    count: int
    top: int

    @classmethod
    def of(cls, value: Value) -> SignedDigits:
        """Those of a constant."""
        codes: list[int] = value.codes.ravel().tolist()
        forms = {code: naf(code) for code in set(codes)}
        count = max([1, *(len(form) for form in forms.values())])
        top = max((shift for form in forms.values() for shift, _ in form), default=0)
        return cls(forms, count, top)

    @property
    def shift_bits(self) -> int:
        """Bits of a shift."""
        return max(1, self.top.bit_length())

    @property
    def digit_width(self) -> int:
        """Bits of a digit in a table: present, negative, shift."""
        return 2 + self.shift_bits

    def encode(self, code: int) -> int:
        """A code as it lies in a table: its digits side by side, the lowest in the low bits."""
        width = self.digit_width
        return sum((1 | negative << 1 | shift << 2) << (index * width) for index, (shift, negative) in enumerate(self.forms[code]))


def naf(code: int) -> list[tuple[int, bool]]:
    """Non-adjacent form: (shift, negative) of each signed digit, lowest first; the fewest digits there are."""
    digits: list[tuple[int, bool]] = []
    shift = 0
    while code:
        if code & 1:
            digit = 2 - (code & 3)  # +1 or -1, so that the next bit becomes 0
            digits.append((shift, digit < 0))
            code -= digit
        code >>= 1
        shift += 1
    return digits
