"""Slicing, concatenation, padding, and larger images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from qfx import ops
from qfx.errors import LoweringError
from qfx.frontend.calls.call import Call, Storage, same
from qfx.frontend.calls.shapes import axis_of
from qfx.frontend.scalars import code_of
from qfx.frontend.scope import RESULT, Scope
from qfx.ir import Value


@dataclass(frozen=True)
class Part:
    """One of the tensors that split and chunk return; it becomes a node where the model takes it."""

    x: Value
    op: ops.Slice

    def add(self, scope: Scope) -> Value:
        """The node."""
        return scope.add("", self.op, self.x)


def item(scope: Scope, x: Value, index: Any) -> Value:
    """`x[index]`: slices, and numbers, which take their axis away."""
    given = _full_index(x, index)
    if given[0] != slice(None):
        raise LoweringError("it takes samples out of the batch, and a network computes one sample at a time; begin with `:`")
    parts = [_bounds(entry, extent) for entry, extent in zip(given[1:], x.shape, strict=True)]
    kept = tuple(-(-(b - a) // s) for (a, b, s), entry in zip(parts, given[1:], strict=True) if isinstance(entry, slice))
    if not kept:
        raise LoweringError("indexing every axis leaves none beside the batch; keep one with a slice")
    whole = all(part == (0, extent, 1) for part, extent in zip(parts, x.shape, strict=True))
    starts, stops, steps = zip(*parts, strict=True)
    dropped = len(kept) < len(parts)
    if whole:
        return scope.reshape(kept, x) if dropped else x
    result = scope.add(RESULT if dropped else "", ops.Slice(starts, stops, steps), x)
    return scope.reshape(kept, result) if dropped else result


def _full_index(x: Value, index: Any) -> list[Any]:
    """An entry for every axis, the batch axis included."""
    entries: list[Any] = [*index] if isinstance(index, tuple) else [index]
    if not all(isinstance(entry, int | slice) or entry is Ellipsis for entry in entries):
        raise LoweringError("only numbers, slices and ... can stand in an index")
    if Ellipsis not in entries:
        entries.append(Ellipsis)
    missing = len(x.shape) + 2 - len(entries)
    position = entries.index(Ellipsis)
    return [*entries[:position], *[slice(None)] * missing, *entries[position + 1 :]]


def _bounds(entry: int | slice, extent: int) -> tuple[int, int, int]:
    if isinstance(entry, slice):
        return entry.indices(extent)
    if not -extent <= entry < extent:
        raise LoweringError(f"index {entry} is outside an axis of {extent}")
    return entry % extent, entry % extent + 1, 1


def narrow(scope: Scope, x: Value, dim: int, start: int, length: int) -> Value:
    return Part(x, _along(x, axis_of(x, dim), start, start + length)).add(scope)


def select(scope: Scope, x: Value, dim: int, index: int) -> Value:
    return item(scope, x, (*[slice(None)] * axis_of(x, dim), index))


def _along(x: Value, axis: int, start: int, stop: int) -> ops.Slice:
    starts, stops = [0] * len(x.shape), [*x.shape]
    starts[axis - 1], stops[axis - 1] = start, stop
    return ops.Slice(tuple(starts), tuple(stops), (1,) * len(x.shape))


def split(
    scope: Scope, x: Value, split_size: int | Sequence[int] = 0, dim: int = 0, split_size_or_sections: int | Sequence[int] = 0
) -> tuple[Part, ...]:
    axis = axis_of(x, dim)
    extent, size = x.shape[axis - 1], split_size or split_size_or_sections
    sections = [min(size, extent - start) for start in range(0, extent, size)] if isinstance(size, int) else [*size]
    ends = [sum(sections[: count + 1]) for count in range(len(sections))]
    return tuple(Part(x, _along(x, axis, end - length, end)) for end, length in zip(ends, sections, strict=True))


def chunk(scope: Scope, x: Value, chunks: int, dim: int = 0) -> tuple[Part, ...]:
    return split(scope, x, -(-x.shape[axis_of(x, dim) - 1] // chunks), dim)


def concat(scope: Scope, tensors: Sequence[object], dim: int = 0) -> Value:
    values = [tensor for tensor in tensors if isinstance(tensor, Value)]
    if not values or len(values) < len(tensors):
        raise LoweringError("it wants a list of computed tensors; take the results of a split one by one, a, b = x.split(...)")
    axis = axis_of(values[0], dim) - 1
    return values[0] if len(values) == 1 else scope.add("", ops.Concat(axis), *values)


def pad(scope: Scope, x: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Value:
    """`pad` counts from the last axis: left, right, above, below."""
    if mode != "constant":
        raise LoweringError(f"padding with mode={mode!r} is not supported; use mode='constant'")
    if len(pad) not in (2, 4) or len(pad) // 2 >= len(x.shape):
        raise LoweringError(f"padding of {list(pad)} goes beyond the pixels of {list(x.shape)}; pad height and width only")
    left, right, above, below = (*pad, 0, 0)[:4]
    if min(left, right, above, below) < 0:
        raise LoweringError(f"padding of {list(pad)} cuts pixels away; slice instead")
    code = code_of(value or 0, x.type.frac)
    if code is None or not x.type.min_int <= code <= x.type.max_int:
        raise LoweringError(f"the padding value {value} is no value of {x.type.ap_name}; requantize before, or take another")
    op = ops.Pad((above, left), (below, right), code)
    return scope.add("", op, x) if len(x.shape) == 3 else scope.add_on_image(op, x)


def interpolate(
    scope: Scope,
    x: Value,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Value:
    if mode not in ("nearest", "nearest-exact") or antialias:
        raise LoweringError(f"interpolation with mode={mode!r} is not supported; use mode='nearest', or qfx.nn.ConvTranspose2d")
    pixels = x.shape[1:]
    wanted = _per_axis(size, len(pixels))
    factors = _per_axis(scale_factor, len(pixels)) or [n / m for n, m in zip(wanted, pixels, strict=False)]
    if len(factors) != len(pixels) or any(factor != int(factor) or factor < 1 for factor in factors):
        raise LoweringError(f"enlarging {list(pixels)} by {factors} is not supported; use whole factors of 1 or more")
    whole = [int(factor) for factor in factors]
    if len(whole) == 2:
        return scope.add("", ops.Upsample((whole[0], whole[1])), x)
    return scope.add_on_image(ops.Upsample((1, whole[0])), x)


def _per_axis(value: float | Sequence[float] | None, axes: int) -> list[float]:
    if value is None:
        return []
    return [value] * axes if isinstance(value, int | float) else [*value]


_PADDING = {"pad": "padding", "value": "value"}

CALLS = (
    Call(("getitem",), ("getitem",), lower=item, storage=Storage.VIEW),
    Call(("narrow",), lower=narrow, storage=Storage.VIEW),
    Call(("select",), lower=select, storage=Storage.VIEW),
    Call(("split",), lower=split, storage=Storage.VIEW),
    Call(("chunk",), lower=chunk, storage=Storage.VIEW),
    Call(("cat", "concat", "concatenate"), lower=concat, handled=True),
    Call(
        ("pad",),
        modules={nn.ConstantPad1d: _PADDING, nn.ConstantPad2d: _PADDING, nn.ConstantPad3d: _PADDING},  # the bases of zero padding
        lower=pad,
    ),
    Call(
        ("interpolate",),
        modules={nn.Upsample: same("size", "scale_factor", "mode")},
        lower=interpolate,
    ),
)
