"""Every fold that a node's kernel can have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from qfx.errors import ExportError
from qfx.export.hls.cycles import image_shape
from qfx.export.hls.folding import (
    MAX_WORD_BITS,
    PRODUCT_TEXTS,
    Fold,
    Folding,
    apart,
    channels_in,
    divisors,
    is_depthwise,
    plain_fold,
)
from qfx.export.hls.geometry import Window, plan_span, window_of
from qfx.export.hls.packed import node_packing
from qfx.ir import Graph, Node, Value
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
    Multiply,
    PReLU,
    Rearrange,
    ReLU,
    Requantize,
    Reshape,
    Slice,
)
from qfx.ops.base import signed_digits


def choices(graph: Graph, node: Node) -> Iterator[Fold]:
    """Every fold that the node's kernel can have; words are no wider than MAX_WORD_BITS."""
    yield from _up_to_a_pixel(graph, node)
    yield from _several_pixels(graph, node)


def _up_to_a_pixel(graph: Graph, node: Node) -> Iterator[Fold]:
    ins, out, groups = channels_in(graph, node), graph.values[node.name].shape[0], apart(graph, node)
    width_in = max(value.type.width for value in graph.operands(node) if value.constant is None)
    width_out = graph.values[node.name].type.width
    if isinstance(node.op, (Conv2d, Linear, ArgMax, Reshape, Rearrange, Slice)) and not is_depthwise(graph, node):
        inputs, outputs = divisors(ins[0] // groups), divisors(out // groups)
        found = [Fold((simd,), pe, taps) for taps in tap_choices(graph, node) for simd in inputs for pe in outputs]
    elif isinstance(node.op, Concat):
        found = [Fold((lane,) * len(ins), lane) for lane in divisors(math.gcd(*ins))]
        if node.op.axis == 0:  # code by code; along other axes whole words go on
            found += [Fold((1,) * len(ins), pe) for pe in divisors(out)]
    else:
        found = [Fold((lane,) * len(ins), lane, taps) for taps in tap_choices(graph, node) for lane in divisors(out)]
    products = product_choices(graph, node)
    packs = {pe: node_packing(graph, node, pe) is not None for pe in {fold.writes for fold in found}}
    for fold in dict.fromkeys(found):
        if fold.simd * width_in <= MAX_WORD_BITS and fold.writes * width_out <= MAX_WORD_BITS:
            stores = ("", "lut", "bram") if weight_words(graph, node, fold) > 1 else ("",)
            ways = (*products, "packed") if packs[fold.writes] else products
            yield from (replace(fold, product=product, storage=storage) for product in ways for storage in stores)


ELEMENTWISE = (Add, Affine, Clamp, Lookup, Multiply, PReLU, ReLU, Requantize)
"""Ops whose results depend on codes in the same place alone, where their operands have the shape of the result."""


def _several_pixels(graph: Graph, node: Node) -> Iterator[Fold]:
    """Folds of several pixels a word, which divide the columns of an image."""
    out, streams = graph.values[node.name], [value for value in graph.operands(node) if value.constant is None]
    channels, _, width = image_shape(out.shape)
    window, products = window_of(graph, node), product_choices(graph, node)
    windowed = window is not None and not _lacks_kernel(graph, node)
    for pixels in divisors(width)[1:]:
        if pixels * channels * out.type.width > MAX_WORD_BITS:
            return
        if window is not None and windowed:
            fold = _windows_at_once(window, streams[0], pixels, channels)
        elif isinstance(node.op, ELEMENTWISE) and all(value.shape == out.shape for value in streams):
            most = max(value.type.width for value in streams)
            fold = (
                Fold((pixels * channels,) * len(streams), pixels * channels) if pixels * channels * most <= MAX_WORD_BITS else None
            )
        else:
            return
        if fold is not None:
            yield from (replace(fold, product=product) for product in products)


def _lacks_kernel(graph: Graph, node: Node) -> bool:
    """Whether a window stage for several pixels has no kernel behind it: groups of channels, areas per position."""
    if isinstance(node.op, AvgPool2d):
        _, height, width = graph.operands(node)[0].shape
        return len(np.unique(node.op.multipliers((height, width)))) > 1
    return apart(graph, node) > 1


def _windows_at_once(window: Window, x: Value, pixels: int, channels: int) -> Fold | None:
    """All kernel positions and channels for several pixels; None where words of x do not fit rows or the tools' limit."""
    span, (depth, _, width) = plan_span(window, pixels), image_shape(x.shape)
    pixel = depth * x.type.width
    if width % span.word_columns or max(window.kernel[0] * span.columns, span.words * span.word_columns) * pixel > MAX_WORD_BITS:
        return None
    return Fold((span.word_columns * depth,), pixels * channels, window.taps)


def weight_words(graph: Graph, node: Node, fold: Fold) -> int:
    """Words of the table of weights, one read a cycle; 1 for ops without one."""
    if not isinstance(node.op, (Conv2d, Linear)):
        return 1
    weights = graph.operands(node)[1].size
    if fold.writes > graph.values[node.name].shape[0]:
        return 1
    return weights // (fold.writes * (fold.taps if is_depthwise(graph, node) else fold.simd))


MOST_DIGITS = 2
"""Signed digits of a constant up to which shifts and additions at run time may take less than a multiplier in LUTs."""


def product_choices(graph: Graph, node: Node) -> tuple[str, ...]:
    """Ways to multiply: none to choose from where constants are K-hot or there is nothing to multiply."""
    if not isinstance(node.op, (Conv2d, Linear, Affine, PReLU)) or node.op.digits is not None:
        return ("",)
    few = int(signed_digits(graph.operands(node)[1].codes).max(initial=0)) <= MOST_DIGITS
    return ("", "dsp", "lut", "khot") if few else ("", "dsp", "lut")


def tap_choices(graph: Graph, node: Node) -> list[int]:
    """Kernel positions per cycle that the node's kernel can have."""
    window = window_of(graph, node)
    return [1] if window is None else sorted({1, window.kernel[0], window.taps})


def check_folding(graph: Graph, folding: Folding) -> None:
    """Whether every node has a fold that its kernel can have.

    Raises:
        ExportError: a node without one, or with one that does not fit; the message lists what fits.
    """
    for node in graph.nodes:
        if node.name not in folding:
            raise ExportError(f"the folding has no entry for node {node.name!r}")
        if folding[node.name] == plain_fold(graph, node):
            continue
        fitting = list(choices(graph, node))
        if folding[node.name] not in fitting:
            raise ExportError(f"node {node.name!r} cannot fold as {_text(folding[node.name])}; it can as {_texts(fitting)}")


def _texts(folds: list[Fold], most: int = 12) -> str:
    more = f" and {len(folds) - most} more" if len(folds) > most else ""
    return "; ".join(map(_text, folds[:most])) + more


def _text(fold: Fold) -> str:
    taps = f", taps {fold.taps}" if fold.taps > 1 else ""
    product = f", products {PRODUCT_TEXTS[fold.product]}" if fold.product else ""
    storage = f", weights in {fold.storage.upper()}" if fold.storage else ""
    return f"reads {', '.join(map(str, fold.reads))}, writes {fold.writes}{taps}{product}{storage}"
