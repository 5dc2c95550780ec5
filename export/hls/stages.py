"""One builder per op: its settings, tables and kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from qfx.errors import ExportError
from qfx.export.hls.folding import PRODUCT_TEXTS, Fold, keeps_words
from qfx.export.hls.geometry import op_window
from qfx.export.hls.layers import Code, Fixed, Layer, Table
from qfx.export.hls.plan import Wire, Wiring
from qfx.export.hls.tables import aligned_table, code_table, counters_of, describe_product, lane_table, matrix_table, packed
from qfx.export.hls.windows import describe_window
from qfx.fixed import FixedType, IntArray, Rounding
from qfx.ir import Node, Value
from qfx.ops import (
    Add,
    Affine,
    ArgMax,
    AvgPool2d,
    Clamp,
    Concat,
    Conv2d,
    Linear,
    Lookup,
    MaxPool2d,
    Multiply,
    Pad,
    PReLU,
    Rearrange,
    ReLU,
    Requantize,
    Reshape,
    Slice,
    Upsample,
)
from qfx.ops.base import Op

MAX_AP_WIDTH = 1024
"""AP_INT_MAX_W's default: the widest ap_int that the tools accept without asking."""

T = TypeVar("T", bound=Op)
Builder = Callable[[Any, Node, Layer, tuple[Value, ...]], None]
"""op, node, layer to fill in, operands."""

BUILDERS: dict[type[Op], Builder] = {}


def builder(op: type[T]) -> Callable[[Callable[[T, Node, Layer, tuple[Value, ...]], None]], Builder]:
    """Register the builder of an op."""

    def register(build: Callable[[T, Node, Layer, tuple[Value, ...]], None]) -> Builder:
        BUILDERS[op] = build
        return build

    return register


def build_layer(node: Node, wiring: Wiring) -> Layer:
    """The settings of a node's stage.

    Raises:
        ExportError: an op that has no kernel, or settings that the kernel cannot hold.
    """
    build = BUILDERS.get(type(node.op))
    if build is None:
        raise ExportError(f"node {node.name!r}: the HLS export has no kernel for {node.op.kind}; it has {known_kinds()}")
    fold = wiring.folding[node.name]
    streams = [name for name in node.inputs if name in wiring.wires]
    wires = [wiring.view(name, lanes) for name, lanes in zip(streams, fold.reads, strict=True)]
    named = {f"in_{i}" if i else "in": wire for i, wire in enumerate(wires)} | {"out": wiring.wires[node.name]}
    layer = Layer(named["out"].name, node.op.kind, [node.op.kind], comment_of(node, named["in"], named["out"], fold), named, fold)
    build(node.op, node, layer, wiring.graph.operands(node))
    layer.tables = [replace(table, storage=fold.storage) if table.accessor == "weight" else table for table in layer.tables]
    for code in layer.codes:
        if code.width > MAX_AP_WIDTH:
            raise ExportError(f"node {node.name!r}: its {code.name} takes {code.width} bits, above the {MAX_AP_WIDTH} of an ap_int")
    return layer


def known_kinds() -> str:
    """`add, affine, ...`"""
    return ", ".join(sorted(op.kind for op in BUILDERS))


def comment_of(node: Node, x: Wire, out: Wire, fold: Fold) -> str:
    """`layer1.conv: conv2d(stride=(2, 2)) -> ap_fixed<12, 7>, 8 x 16 x 16; SIMD 36, PE 4, products packed, weights in bram`."""
    folded = ""
    if isinstance(node.op, Conv2d | Linear):
        product = f", products {PRODUCT_TEXTS[fold.product]}" if fold.product else ""
        pixels = fold.pixels(out.channels)
        simd = fold.simd if pixels == 1 else x.channels * fold.taps
        together = f", {pixels} pixels" if pixels > 1 else ""
        folded = f"; SIMD {simd}, PE {fold.writes // pixels}{together}{product}{fold.storage and f', weights in {fold.storage}'}"
    return f"{node.name}: {node.op.describe()} -> {out.type.ap_name}, {out.shape_text}{folded}"


def _suffix(layer: Layer, digits: int | None) -> None:
    """Take the kernel that multiplies as the constants and the fold want it."""
    product = layer.fold.product if digits is None else "khot"
    if product:
        layer.kernel += f"_{product}"
        layer.headers = [f"{layer.headers[0]}_{product}", *layer.headers[1:]]


@builder(Conv2d)
def conv2d(op: Conv2d, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    weight, bias = operands[1], operands[2] if len(operands) == 3 else None
    outputs, group_channels, *kernel = weight.shape
    lanes, taps = layer.x.lanes, layer.fold.taps
    depthwise = op.groups > 1 and group_channels == 1 and outputs == op.groups
    describe_window(layer, op_window(op, operands), layer.x.groups if depthwise else op.groups)
    if depthwise:
        layer.kernel = "conv2d_depthwise"
    layer.constant(product_shift=layer.out.type.frac - layer.x.type.frac - weight.type.frac)
    kind = describe_product(layer, weight, op.digits)
    if layer.pixels > 1:
        _several_pixels(layer)
        layer.constant(simd=taps * group_channels, weight_words=1)
        entries = packed(np.moveaxis(weight.codes, 1, -1).ravel().tolist(), kind, 1)
        comment = f"{weight.name}: {weight.type.ap_name}, [0][output, kernel row, kernel column, channel]"
        layer.tables.append(Table("weight", f"{layer.name}_weight_table", [entries], kind.bits, "constant_bits", comment))
    elif depthwise:
        _tap_words(layer, kernel)
        by_word = in_words(weight.codes, taps).reshape(outputs // lanes, lanes, -1, taps)  # [channel group, lane, word, tap]
        rows = [packed(row.tolist(), kind, 1) for row in np.swapaxes(by_word, 1, 2).reshape(-1, lanes * taps)]
        layer.constant(weight_words=len(rows))
        comment = f"{weight.name}: {weight.type.ap_name}, [channel group, window word][lane, tap]"
        layer.tables.append(Table("weight", f"{layer.name}_weight_table", rows, kind.bits, "constant_bits", comment))
    else:
        by_word = in_words(weight.codes, taps).reshape(outputs, group_channels // lanes, lanes, -1, taps)
        in_order = np.transpose(by_word, (0, 3, 1, 4, 2))  # [output, word of the kernel, channel group, tap, lane]
        _windows(layer, op.groups)
        matrix_table(layer, weight, in_order.reshape(outputs, -1, layer.fold.simd), kind)
    aligned_table(layer, "bias", bias)
    _suffix(layer, op.digits)


def in_words(codes: IntArray, taps: int) -> IntArray:
    """Weights (output, channel, kernel row, kernel column) by the words of a window: (output, channel, word, tap).

    A word holds one kernel position, those of a kernel column, or all of them.
    """
    outputs, channels, height, width = codes.shape
    by_column = 1 < taps < height * width
    return (np.swapaxes(codes, 2, 3) if by_column else codes).reshape(outputs, channels, -1, taps)


def _several_pixels(layer: Layer) -> None:
    """Take the kernel that makes several pixels a cycle."""
    layer.kernel += "_pixels"
    layer.headers[0] += "_pixels"


def _tap_words(layer: Layer, kernel: Sequence[int]) -> None:
    """How many words a window has, and kernel positions a word; or how many positions several windows at once have each."""
    if layer.pixels > 1:
        _several_pixels(layer)
        layer.constant(word_taps=layer.fold.taps)
        return
    layer.constant(tap_words=math.prod(kernel) // layer.fold.taps, word_taps=layer.fold.taps)


def _windows(layer: Layer, groups: int = 1) -> None:
    """How many windows matrix_vector gets a frame, and words of results it makes of each."""
    layer.constant(windows=layer.out.pixels * groups, window_groups=layer.out.groups // groups)


@builder(Linear)
def linear(op: Linear, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    weight, bias = operands[1], operands[2] if len(operands) == 3 else None
    layer.codes.append(Code("window", False, layer.x.word_width))
    layer.constant(product_shift=layer.out.type.frac - layer.x.type.frac - weight.type.frac)
    kind = describe_product(layer, weight, op.digits)
    _windows(layer)
    matrix_table(layer, weight, weight.codes.reshape(weight.shape[0], layer.x.groups, layer.x.lanes), kind)
    aligned_table(layer, "bias", bias)
    _suffix(layer, op.digits)


@builder(Affine)
def affine(op: Affine, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    _, scale, offset = operands
    layer.constant(product_shift=layer.out.type.frac - layer.x.type.frac - scale.type.frac)
    lane_table(layer, "scale", scale, describe_product(layer, scale, op.digits))
    aligned_table(layer, "offset", offset)
    _suffix(layer, op.digits)


@builder(PReLU)
def prelu(op: PReLU, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    slope = operands[1]
    frac = layer.out.type.frac
    layer.constant(product_shift=frac - layer.x.type.frac - slope.type.frac, positive_shift=frac - layer.x.type.frac)
    lane_table(layer, "slope", slope, describe_product(layer, slope, op.digits))
    _suffix(layer, op.digits)


@builder(ReLU)
def relu(op: ReLU, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    """No settings beyond the formats."""


@builder(Add)
def add(op: Add, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    if op.minus:
        _rename(layer, "add_minus")
    frac = layer.out.type.frac
    layer.constant(shift_a=frac - operands[0].type.frac, shift_b=frac - operands[1].type.frac)


def source_width(x: FixedType, op: Requantize) -> int:
    """Bits of the ap_fixed that is cast: the open headers abort where all bits of a source lie below the new grid."""
    return x.width if op.rounding is Rounding.TRN else max(x.width, x.frac - op.type.frac + 1)


@builder(Requantize)
def requantize(op: Requantize, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    x, y = layer.x.type, layer.out.type
    width = source_width(x, op)
    if width > MAX_AP_WIDTH:
        raise ExportError(
            f"node {node.name!r} rounds {x.frac - y.frac} bits away; the limit is {MAX_AP_WIDTH - 1}, the width of an ap_fixed"
        )
    layer.constant(source_width=width)
    layer.codes.append(Code("source_code", x.signed, width))
    layer.fixed.append(Fixed("source", _Widened(x.signed, width, x.frac)))
    layer.fixed.append(Fixed("target", y, f", {op.rounding.value}, {op.overflow.value}"))


class _Widened(FixedType):
    """A format that may be wider than the 63 bits of a value: only its C++ name is used."""

    def __post_init__(self) -> None:
        """No limit."""


@builder(MaxPool2d)
def max_pool2d(op: MaxPool2d, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    describe_window(layer, op_window(op, operands), layer.x.groups)
    _tap_words(layer, op.kernel)
    layer.padding_lowest = layer.x.type.signed


@builder(AvgPool2d)
def avg_pool2d(op: AvgPool2d, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    describe_window(layer, op_window(op, operands), layer.x.groups)
    _tap_words(layer, op.kernel)
    total = FixedType.for_range(layer.x.type.min_int * op.area, layer.x.type.max_int * op.area, layer.x.type.frac)
    layer.codes.append(Code("sum", total.signed, total.width))
    if op.reciprocal is not None:
        _reciprocals(op, layer, operands[0])


def _reciprocals(op: AvgPool2d, layer: Layer, x: Value) -> None:
    codes = op.multipliers((x.shape[1], x.shape[2])).ravel().tolist()
    width = max(codes).bit_length()
    layer.codes.append(Code("reciprocal", False, width))
    if len(set(codes)) == 1:
        _rename(layer, f"{layer.kernel}_scaled")
        layer.constant(reciprocal_code=codes[0])
        return
    _rename(layer, "avg_pool2d_places")
    layer.constant(reciprocal_width=width)
    code_table(layer, "reciprocal_of", codes, width, "1 / area, [pixel][0]")


def _rename(layer: Layer, kernel: str) -> None:
    """Take a kernel of another name than the op's kind, from the file of that name."""
    layer.kernel = layer.headers[0] = kernel


@builder(Clamp)
def clamp(op: Clamp, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    (x,) = operands
    shift, (low, high) = layer.out.type.frac - x.type.frac, op.limits(x)
    layer.codes.append(Code.covering("wide", min(low, x.type.min_int << shift), max(high, x.type.max_int << shift)))
    layer.constant(shift=shift, low=low, high=high)


@builder(Multiply)
def multiply(op: Multiply, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    _rename(layer, "multiply_values" if operands[0].shape == operands[1].shape else "multiply_channels")


@builder(Lookup)
def lookup(op: Lookup, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    x, table = operands
    by_bits = np.roll(table.codes, x.type.min_int)  # the bits of -1 come after those of the greatest code
    layer.codes.append(Code("address_bits", False, x.type.width))
    comment = f"{table.name}: {table.type.ap_name}, [bits of {x.name}][0]"
    code_table(layer, "output", by_bits.tolist(), table.type.width, comment, ports=layer.x.lanes)


@builder(ArgMax)
def argmax(op: ArgMax, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    """No settings beyond the formats."""


@builder(Concat)
def concat(op: Concat, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    parts = [wire for name, wire in layer.wires.items() if name != "out"]
    words = all(part.lanes == layer.out.lanes for part in parts)
    _rename(layer, f"concat{len(parts)}{'_words' if words else ''}")
    turns = layer.out.pixels if op.axis == 0 else math.prod(layer.out.value.shape[1 : op.axis])
    if words:
        layer.constant(turns=turns, turn_words=layer.out.words // turns)
    end = 0
    for index, part in enumerate(parts):
        end += part.words // turns if words else part.channels
        layer.constant(**{f"shift_{index}": layer.out.type.frac - part.type.frac, f"end_{index}": end})


@builder(Pad)
def pad(op: Pad, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    layer.constant(above=op.before[0], left=op.before[1], columns=layer.out.width, x_columns=layer.x.width, border=op.code)


@builder(Upsample)
def upsample(op: Upsample, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    layer.constant(row_factor=op.factor[0], column_factor=op.factor[1])
    if op.zeros:
        _rename(layer, "upsample_zeros")
        layer.constant(columns=layer.out.width)
    else:
        layer.constant(row_words=layer.x.width * layer.x.groups)


@builder(Reshape)
def reshape(op: Reshape, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    layer.constant(size=layer.out.value.size)


@builder(Rearrange)
def rearrange(op: Rearrange, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    size = operands[0].size
    moved = np.transpose(np.arange(size, dtype=np.int64).reshape(op.dims), op.order).reshape(op.shape)
    addresses = np.moveaxis(moved, 0, -1).ravel()
    counters = counters_of(addresses)
    layer.constant(size=size)
    if counters is None:
        _rename(layer, "rearrange_table")
        comment = "channel-major addresses of x, [place in the stream of the result][0]"
        code_table(layer, "address", addresses.tolist(), (size - 1).bit_length(), comment)
        return
    _rename(layer, f"rearrange{len(counters)}")
    for index, (count, step) in enumerate(counters):
        layer.constant(**{f"count_{index}": count, f"step_{index}": step})


@builder(Slice)
def slice_(op: Slice, node: Node, layer: Layer, operands: tuple[Value, ...]) -> None:
    lanes, start, step = layer.x.lanes, op.starts[0], op.steps[0]
    words = keeps_words(op, layer.fold)
    if words:
        _rename(layer, "slice_words")
    per_word = lanes if words else 1
    layer.constant(columns=layer.x.width, channels=layer.x.channels // per_word)
    if len(op.starts) > 3:
        raise ExportError(f"node {node.name!r}: the HLS export slices up to 3 axes, not {len(op.starts)}; reshape first")
    names = ("channel", "column") if len(op.starts) == 2 else ("channel", "row", "column")
    axes = zip(names, op.starts, op.steps, layer.out.value.shape, strict=False)
    spans = {axis: (start, step, count) for axis, start, step, count in axes}
    spans["channel"] = (start // per_word, step, layer.out.channels // per_word)
    for axis in ("channel", "row", "column"):
        first, stride, count = spans.get(axis, (0, 1, 1))
        layer.constant(**{f"start_{axis}": first, f"step_{axis}": stride, f"last_{axis}": first + (count - 1) * stride})
