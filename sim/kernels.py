"""The ops with kernels of their own: windows, matrix products and pools, as NumPy calls on (channel, height, width, sample).

With the samples last, a window is a long run of memory: `im2col` is one strided copy, and a stride costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from qfx.exact import LIMITS, accumulator_dtype
from qfx.ir import Value
from qfx.ops import AvgPool2d, Conv2d, Linear, MaxPool2d, Op, Reshape
from qfx.ops.base import Pair
from qfx.ops.ranges import aligned_offsets, max_abs, output_frac
from qfx.ops.windows import output_size
from qfx.sim.arena import Arena, Array
from qfx.sim.chain import Calls, Chain

BLOCK_BYTES = 1 << 19
"""Memory of one block of columns; half of a usual second-level cache, or less."""


@dataclass(frozen=True)
class Columns:
    """A part of a result: calls that compute it, where they put it (channel, element), and which elements it holds."""

    calls: Calls
    array: Array
    elements: slice


def is_product(op: Op, operands: Sequence[Value]) -> bool:
    """Whether `product_columns` can compute this node."""
    return type(op) in PRODUCTS and op.bound(operands) < LIMITS["float64"]


def is_whole(op: Op, operands: Sequence[Value]) -> bool:
    """Whether `whole` can compute this node."""
    return type(op) in WHOLE and op.bound(operands) < LIMITS["float64"]


def product_chain(op: Op, operands: Sequence[Value]) -> Chain:
    """A chain on the bare products; the bias, and the grid that it needs, come first in it."""
    x, weight, *bias = operands
    channels = weight.shape[0]
    offset = bias[0] if bias else None
    frac = output_frac(x, weight, offset)
    chain = Chain(_largest(x, weight), channels)
    up = frac - x.type.frac - weight.type.frac
    chain.affine([1 << up] * channels, aligned_offsets(offset, frac, channels), op.bound(operands))
    return chain


def _largest(x: Value, weight: Value) -> int:
    """Largest magnitude of an operand or of a partial sum of products."""
    rows = np.abs(weight.codes).reshape(weight.shape[0], -1)
    return max(max(sum(row) for row in rows.tolist()) * x.type.max_abs, x.type.max_abs, max_abs(weight.codes))


def product_columns(op: Op, operands: Sequence[Value], x: Array, arena: Arena) -> Iterator[Columns]:
    """The bare products of a convolution or a linear layer, block by block; scratch memory is given back at the end."""
    dtype = accumulator_dtype(_largest(operands[0], operands[1]))
    return PRODUCTS[type(op)](op, operands[1], x, dtype, arena)


def _linear(op: Linear, weight: Value, x: Array, dtype: str, arena: Arena) -> Iterator[Columns]:
    calls: Calls = []
    source, result = x, arena.take((weight.shape[0], x.shape[-1]), dtype)
    if x.dtype != dtype:
        source = arena.take(x.shape, dtype)
        calls.append(partial(np.copyto, source, x))
    calls.append(partial(np.matmul, weight.codes.astype(dtype), source, result))
    yield Columns(calls, result, slice(0, x.shape[-1]))
    arena.give(result)
    if source is not x:
        arena.give(source)


def _conv(op: Conv2d, weight: Value, x: Array, dtype: str, arena: Arena) -> Iterator[Columns]:
    out, per_group, *size = weight.shape
    kernel = (size[0], size[1])
    terms, channels, samples = per_group * kernel[0] * kernel[1], x.shape[0], x.shape[3]
    matrix = weight.codes.astype(dtype).reshape(op.groups, out // op.groups, terms)
    calls: Calls = []
    image, owned = padded(calls, arena, x, op.padding, op.extra, dtype, 0)
    view = _windows(image, kernel, op.stride, op.dilation, _size(x, kernel, op))
    height, width = view.shape[3:5]
    row = max(channels * kernel[0] * kernel[1], out) * width * samples * np.dtype(dtype).itemsize
    rows = min(height, max(1, BLOCK_BYTES // row))
    direct = kernel == (1, 1) and op.stride == (1, 1) and image.dtype == dtype
    gathered = arena.take((0 if direct else terms * op.groups, rows * width * samples), dtype)
    products = arena.take((out, rows * width * samples), dtype)
    for start in range(0, height, rows):
        count = min(rows, height - start)
        elements = slice(start * width * samples, (start + count) * width * samples)
        shape = (op.groups, terms, count * width * samples)
        if direct:
            columns = image.reshape(op.groups, terms, -1)[:, :, elements]
        else:
            part = view[:, :, :, start : start + count]
            columns = gathered.ravel()[: part.size].reshape(shape)
            calls.append(partial(np.copyto, columns.reshape(part.shape), part))
        result = products.ravel()[: out * shape[2]].reshape(out, shape[2])
        calls.append(partial(np.matmul, matrix, columns, result.reshape(op.groups, -1, shape[2])))
        yield Columns(calls, result, elements)
        calls = []
    arena.give(gathered, products, *owned)


PRODUCTS: dict[type[Op], Callable[..., Iterator[Columns]]] = {Conv2d: _conv, Linear: _linear}
"""Sums of products: op -> its bare products, block by block."""


def whole(op: Op, operands: Sequence[Value], array: Array, out: Array, arena: Arena) -> Calls:
    """An op of one operand, `array`, all of it into `out`."""
    return WHOLE[type(op)](op, operands[0], array, out, arena)


def _reshape(op: Reshape, x: Value, array: Array, out: Array, arena: Arena) -> Calls:
    return [partial(np.copyto, out.reshape(array.shape), array)]


def _max_pool(op: MaxPool2d, x: Value, array: Array, out: Array, arena: Arena) -> Calls:
    return _pool(op, np.maximum, op.dilation, x.type.min_int, array, out, arena)


def _avg_pool(op: AvgPool2d, x: Value, array: Array, out: Array, arena: Arena) -> Calls:
    calls = _pool(op, np.add, (1, 1), 0, array, out, arena)
    if op.reciprocal is not None:
        factors = op.multipliers((x.shape[1], x.shape[2])).astype(out.dtype)[:, :, None]
        calls.append(partial(np.multiply, out, factors, out))
    return calls


def _pool(
    op: MaxPool2d | AvgPool2d, join: Callable[..., object], dilation: Pair, fill: int, array: Array, out: Array, arena: Arena
) -> Calls:
    """The elements of each window of `array`, joined; `fill` is the padding."""
    calls: Calls = []
    image, owned = padded(calls, arena, array, op.padding, op.extra, str(array.dtype), fill)
    view = _windows(image, op.kernel, op.stride, dilation, (out.shape[1], out.shape[2]))
    taps = [view[:, i, j] for i in range(op.kernel[0]) for j in range(op.kernel[1])]
    calls.append(partial(np.copyto, out, taps[0]))
    calls += [partial(join, out, tap, out=out) for tap in taps[1:]]
    arena.give(*owned)
    return calls


WHOLE: dict[type[Op], Callable[..., Calls]] = {AvgPool2d: _avg_pool, MaxPool2d: _max_pool, Reshape: _reshape}
"""Op -> the calls that compute it at once."""


def padded(
    calls: Calls, arena: Arena, x: Array, padding: Pair, extra: Pair, dtype: str, fill: int
) -> tuple[Array, tuple[Array, ...]]:
    """`x` with padding of `fill`, and what was taken from the arena for it."""
    (top, left), (channels, height, width, samples) = padding, x.shape
    bottom, right = top + extra[0], left + extra[1]
    if not (bottom or right):
        return x, ()
    image = arena.take((channels, height + top + bottom, width + left + right, samples), dtype)
    inner = image[:, top : top + height, left : left + width]
    borders = (
        image[:, :top],
        image[:, top + height :],
        image[:, top : top + height, :left],
        image[:, top : top + height, left + width :],
    )
    calls += [partial(border.fill, fill) for border in borders if border.size]
    calls.append(partial(np.copyto, inner, x))
    return image, (image,)


def _size(x: Array, kernel: Pair, op: Conv2d) -> Pair:
    return output_size((x.shape[1], x.shape[2]), kernel, op.stride, op.padding, op.dilation, op.extra)


def _windows(image: Array, kernel: Pair, stride: Pair, dilation: Pair, size: Pair) -> Array:
    """A view (channel, kernel height, kernel width, out height, out width, sample) of a padded image."""
    (kh, kw), (sv, sh), (dv, dh), (channels, _, _, samples) = kernel, stride, dilation, image.shape
    channel, row, column, sample = image.strides
    return np.lib.stride_tricks.as_strided(
        image,
        (channels, kh, kw, *size, samples),
        (channel, row * dv, column * dh, row * sv, column * sh, sample),
        writeable=False,
    )
