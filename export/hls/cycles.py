"""Cycles per frame of every stage of a node, by the formulas that the kernels' first lines state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from qfx.export.hls.folding import Fold, is_depthwise, keeps_words
from qfx.export.hls.geometry import window_cycles, window_of
from qfx.ir import Graph, Node
from qfx.ops import ArgMax, AvgPool2d, Concat, Conv2d, Linear, MaxPool2d, Rearrange, Reshape, Slice

Shape = tuple[int, int, int]
T = TypeVar("T")


def image_shape(shape: tuple[int, ...]) -> Shape:
    """(channels, rows, columns) as a stream has them: vectors are one pixel, sequences one row."""
    channels, *rest = shape
    height = rest[0] if len(rest) > 1 else 1
    return channels, height, math.prod(rest[1:] if len(rest) > 1 else rest)


def node_cycles(graph: Graph, node: Node, fold: Fold) -> dict[str, int]:
    """Cycles per frame of each stage: `kernel`, and `window` where a stage before it picks the windows."""
    x = image_shape(graph.operands(node)[0].shape)
    out = image_shape(graph.values[node.name].shape)
    cycles = {"kernel": _kernel_cycles(graph, node, fold, x, out)}
    window = window_of(graph, node)
    if window is not None:
        before = window_cycles(window, x, out, fold.reads[0], fold.taps, fold.pixels(out[0]))
        if before:
            cycles["window"] = before
    return cycles


def _kernel_cycles(graph: Graph, node: Node, fold: Fold, x: Shape, out: Shape) -> int:
    words, groups_in = math.prod(out) // fold.writes, x[0] // fold.reads[0]
    op, window = node.op, window_of(graph, node)
    if fold.writes > out[0]:  # several pixels
        return words
    if isinstance(op, Conv2d):
        assert window is not None
        turns = window.taps // fold.taps
        return words * turns if is_depthwise(graph, node) else words * turns * groups_in // op.groups
    if isinstance(op, (MaxPool2d, AvgPool2d)):
        assert window is not None
        return words * (window.taps // fold.taps)
    if isinstance(op, Linear):
        return groups_in * words
    if isinstance(op, Slice):
        return math.prod(x) // (fold.reads[0] if keeps_words(op, fold) else 1)
    return OTHERS.get(type(op), _words_out)(x, out, fold)


def _words_out(x: Shape, out: Shape, fold: Fold) -> int:
    return math.prod(out) // fold.writes


def _twice(x: Shape, out: Shape, fold: Fold) -> int:
    return 2 * math.prod(out)


def _codes_in(x: Shape, out: Shape, fold: Fold) -> int:
    return math.prod(x)


def _concat(x: Shape, out: Shape, fold: Fold) -> int:
    return math.prod(out) // (fold.writes if set(fold.reads) == {fold.writes} else 1)


OTHERS: dict[type, Callable[[Shape, Shape, Fold], int]] = {
    Reshape: _twice,
    Rearrange: _twice,
    ArgMax: _codes_in,
    Concat: _concat,
}
"""Ops whose stage takes other than a cycle per word of its result."""
