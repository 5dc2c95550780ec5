"""Operands for op samples, from fixed seeds."""

from __future__ import annotations

import numpy as np

from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value


def activation(name: str, type: FixedType, shape: tuple[int, ...]) -> Value:
    """A computed operand."""
    return Value(name, type, shape)


def constant(name: str, type: FixedType, shape: tuple[int, ...], seed: int) -> Value:
    """A constant with random codes over the whole range; the two ends are among them where there is room."""
    codes = random_codes(type, shape, seed)
    codes.flat[0] = type.min_int
    codes.flat[-1] = type.max_int
    return Value(name, type, shape, codes)


def khot_constant(name: str, type: FixedType, shape: tuple[int, ...], seed: int, digits: int) -> Value:
    """A constant whose codes are sums of at most `digits` signed powers of two."""
    rng = np.random.default_rng(seed)
    exponents = rng.integers(0, type.width - 1, (digits, *shape))
    signs = rng.integers(-1, 2, (digits, *shape))
    codes = (signs << exponents).sum(axis=0)
    return Value(name, type, shape, np.where((codes > type.max_int) | (codes < type.min_int), 1, codes).astype(np.int64))


def random_codes(type: FixedType, shape: tuple[int, ...], seed: int) -> IntArray:
    """Random codes over the whole range of `type`."""
    return np.random.default_rng(seed).integers(type.min_int, type.max_int, shape, np.int64, endpoint=True)


def corner_codes(type: FixedType, shape: tuple[int, ...]) -> IntArray:
    """A batch of samples that are constant at, or alternate between, the ends of the range and the codes round zero."""
    size = int(np.prod(shape))
    ends = [type.min_int, type.max_int, 0, min(1, type.max_int), max(-1, type.min_int)]
    rows = [np.full(size, end, np.int64) for end in ends]
    rows += [np.resize(np.array(pair, np.int64), size) for pair in ((ends[0], ends[1]), (ends[1], ends[0]), tuple(ends))]
    return np.stack(rows).reshape(len(rows), *shape)
