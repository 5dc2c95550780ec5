"""Constants as packed unsigned words: plain codes, or signed digits for the kernels without a multiplier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qfx.errors import ExportError
from qfx.export.cost.packing import check_packing
from qfx.export.hls.layers import Code, Layer, Table
from qfx.export.hls.packed import packed_rows, weight_packing
from qfx.fixed import FixedType, IntArray
from qfx.ir import Value

ENTRY_BITS = 64
"""Widest table entry: what an integer literal can initialise."""


@dataclass(frozen=True)
class Multiplicand:
    """How the constants of a product lie in their table.

    Attributes:
        bits: of one constant.
        encode: code -> unsigned bits.
    """

    bits: int
    encode: Callable[[int], int]


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


def describe_product(layer: Layer, weight: Value, digits: int | None) -> Multiplicand:
    """Add the types of `x * constant` to the layer.

    Raises:
        ExportError: a K-hot constant too wide for a table entry.
    """
    x = layer.x.type
    if digits is None and layer.fold.product != "khot":
        signed = x.signed or weight.type.signed
        layer.codes += [
            Code("constant", weight.type.signed, weight.type.width),
            Code("constant_bits", False, weight.type.width),
            Code("product", signed, x.width + weight.type.width),
        ]
        layer.constant(constant_width=weight.type.width, bits_width=weight.type.width)
        return Multiplicand(weight.type.width, lambda code: code & ((1 << weight.type.width) - 1))
    return _describe_khot(layer, weight)


def khot_forms(weight: Value) -> tuple[dict[int, list[tuple[int, bool]]], int, int, int]:
    """The digits of each code, how many a constant has at most, the greatest shift, and the bits of a shift."""
    codes: list[int] = weight.codes.ravel().tolist()
    forms = {code: naf(code) for code in set(codes)}
    count = max([1, *(len(form) for form in forms.values())])
    top = max((shift for form in forms.values() for shift, _ in form), default=0)
    return forms, count, top, max(1, top.bit_length())


def _describe_khot(layer: Layer, weight: Value) -> Multiplicand:
    forms, count, top, shift_width = khot_forms(weight)
    digit_width = 2 + shift_width
    if count * digit_width > ENTRY_BITS:
        raise ExportError(
            f"constant {weight.name!r}: {count} digits of {digit_width} bits exceed the {ENTRY_BITS} bits of a table entry;"
            f" use at most {ENTRY_BITS // digit_width} digits or a narrower format"
        )
    layer.codes += [
        Code("constant_bits", False, count * digit_width),
        Code("shift", False, shift_width),
        Code("product", True, layer.x.type.width + top + count + 1),
    ]
    layer.constant(digits=count, digit_width=digit_width, shift_width=shift_width, bits_width=count * digit_width)

    def encode(code: int) -> int:
        fields = ((1 | negative << 1 | shift << 2) << (index * digit_width) for index, (shift, negative) in enumerate(forms[code]))
        return sum(fields)

    return Multiplicand(count * digit_width, encode)


def packed(codes: Sequence[int], kind: Multiplicand, per_entry: int) -> list[int]:
    """`codes` as entries of `per_entry` constants each, the first in the low bits."""
    return [
        sum(kind.encode(int(code)) << (i * kind.bits) for i, code in enumerate(codes[start : start + per_entry]))
        for start in range(0, len(codes), per_entry)
    ]


def per_entry(kind: Multiplicand, count: int) -> int:
    """How many of `count` constants share an entry: the largest divisor that fits."""
    return max(d for d in range(1, count + 1) if count % d == 0 and d * kind.bits <= ENTRY_BITS)


def lane_table(layer: Layer, accessor: str, value: Value, kind: Multiplicand) -> None:
    """Add a table with one entry per channel, [group][lane]."""
    lanes, codes = layer.out.lanes, np.tile(value.codes, layer.pixels)
    rows = [packed(codes[i : i + lanes].tolist(), kind, 1) for i in range(0, codes.size, lanes)]
    comment = f"{value.name}: {value.type.ap_name}, [channel group][lane]"
    layer.tables.append(Table(accessor, f"{layer.name}_{accessor}_table", rows, kind.bits, "constant_bits", comment))


def aligned_table(layer: Layer, accessor: str, value: Value | None) -> None:
    """Add the table of a bias or offset on the grid of the result, [group][lane]; zeros, not stored, if there is none."""
    codes = [] if value is None else [int(code) << (layer.out.type.frac - value.type.frac) for code in value.codes]
    type = FixedType.for_range(min([0, *codes]), max([0, *codes]), layer.out.type.frac)
    name = "" if value is None else f"{layer.name}_{accessor}_table"
    comment = "" if value is None else f"{value.name}: {value.type.ap_name}, on the grid of the result, [channel group][lane]"
    lanes, mask = layer.out.lanes, (1 << type.width) - 1
    bits = [code & mask for code in codes] * layer.pixels
    rows = [bits[i : i + lanes] for i in range(0, len(bits), lanes)]
    layer.codes += [Code(f"{accessor}_code", type.signed, type.width), Code(f"{accessor}_bits", False, type.width)]
    layer.constants.append((f"{accessor.upper()}_WIDTH", type.width))
    layer.tables.append(Table(accessor, name, rows, type.width, f"{accessor}_bits", comment))


def code_table(layer: Layer, accessor: str, codes: Sequence[int], width: int, comment: str, ports: int = 1) -> None:
    """Add a table of single codes, [place][0], of type `<accessor>_bits`.

    Args:
        ports: entries that are read at once.
    """
    bits_type = f"{accessor}_bits"
    layer.codes.append(Code(bits_type, False, width))
    rows = [[code & ((1 << width) - 1)] for code in codes]
    layer.tables.append(Table(accessor, f"{layer.name}_{accessor}_table", rows, width, bits_type, comment, ports))


def counters_of(addresses: IntArray) -> list[tuple[int, int]] | None:
    """Nested counters, the fastest first, that run through `addresses`: (count, step), the step from the last place of the
    counters below to the next start. None if there are no such counters."""
    counters: list[tuple[int, int]] = []
    rest, reach = addresses, 0
    while len(rest) > 1:
        stride = int(rest[1] - rest[0])
        count = _longest_run(rest, stride)
        if count is None:
            return None
        counters.append((count, stride - reach))
        reach += stride * (count - 1)
        rest = rest[::count]
    return counters or [(1, 0)]


def _longest_run(addresses: IntArray, stride: int) -> int | None:
    """The largest divisor of the length, 2 or more, into runs of which all addresses fall with this stride."""
    steps = np.diff(addresses)
    breaks = np.flatnonzero(steps != stride) + 1
    for count in range(int(breaks[0]) if len(breaks) else len(addresses), 1, -1):
        if len(addresses) % count == 0 and not np.any(breaks % count):
            return count
    return None


def matrix_table(layer: Layer, weight: Value, matrix: IntArray, kind: Multiplicand) -> None:
    """Add the weights of matrix_vector.

    Args:
        matrix: codes (output, word of the window, code in the word).
    """
    lanes, count = layer.out.lanes, matrix.shape[2]
    layer.constant(window_words=matrix.shape[1], simd=count)
    if layer.fold.product == "packed":
        _packed_table(layer, weight, matrix)
        return
    share = per_entry(kind, count)
    rows = [
        [entry for lane in range(lanes) for entry in packed(matrix[first + lane, position].tolist(), kind, share)]
        for first in range(0, matrix.shape[0], lanes)
        for position in range(matrix.shape[1])
    ]
    comment = f"{weight.name}: {weight.type.ap_name}, [output group, window word][output lane, {share} constants an entry]"
    layer.constant(weight_words=len(rows), per_entry=share)
    layer.codes.append(Code("entry_bits", False, share * kind.bits))
    layer.tables.append(Table("weight", f"{layer.name}_weight_table", rows, share * kind.bits, "entry_bits", comment))


def _packed_table(layer: Layer, weight: Value, matrix: IntArray) -> None:
    """Add weights of which several share a DSP, and what units/packed_multiply wants to know."""
    packing = weight_packing(layer.x.value, weight, layer.out.lanes)
    if packing is None:
        raise ExportError(
            f"weights {weight.name!r} of {layer.out.lanes} outputs at a time cannot share a DSP; fold them in another way"
        )
    lowest, upper = packing.fields[0].width, packing.fields[-1].width
    lanes_width = packing.lanes * packing.lane_width
    rows = packed_rows(matrix, layer.out.lanes, packing)
    terms = min(packing.accumulations, matrix.shape[2])
    check_packing(packing, terms, layer.name)
    layer.constant(lanes=packing.lanes, lane_width=packing.lane_width, terms=terms)
    layer.constant(lowest_width=lowest, field_width=upper, packed_width=packing.packed_width, weight_words=len(rows))
    layer.codes += [
        Code("packed_entry", False, packing.stored_width),
        Code("lowest_field", True, lowest),
        Code("upper_field", True, upper),
        Code("lane_sum", True, packing.lane_width),
        Code("packed_lanes", False, lanes_width),
        Code("packed", True, packing.packed_width),
        Code("packed_product", True, packing.total_width),
        Code("packed_sum", True, max(lanes_width, packing.total_width)),
    ]
    comment = (
        f"{weight.name}: {weight.type.ap_name}, [output group, window word][{packing.lanes} outputs an entry, code of the word];"
        f" lanes of {packing.lane_width} bits hold sums of at most {packing.accumulations} products"
    )
    layer.tables.append(Table("weight", f"{layer.name}_weight_table", rows, packing.stored_width, "packed_entry", comment))
