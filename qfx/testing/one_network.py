"""Many operands from one flat input, and many results in one output: so that many networks compile as one."""

from __future__ import annotations

import numpy as np

from qfx.fixed import FixedType, Overflow, Rounding
from qfx.ir import GraphBuilder, Value
from qfx.ops import Add, Linear, Requantize, Reshape


def flat_input(build: GraphBuilder, values: list[Value]) -> Value:
    """An input `x` whose codes can be any of each of the values."""
    return build.input("x", FixedType(True, max(value.type.width for value in values), 0), (max(value.size for value in values),))


def fed(build: GraphBuilder, x: Value, value: Value, name: str) -> Value:
    """A value like `value`: a linear layer of zeros and ones picks its elements from `x`, a wrapping cast gives them its format."""
    pick = build.constant(f"{name}.pick.weight", FixedType(False, 1, value.type.frac), np.eye(value.size, x.size, dtype=np.int64))
    codes = build.add(f"{name}.pick", Linear(), x, pick)
    codes = build.add(f"{name}.cast", Requantize(value.type, Rounding.TRN, Overflow.WRAP), codes)
    return codes if len(value.shape) == 1 else build.add(f"{name}.image", Reshape(value.shape), codes)


def one_number(build: GraphBuilder, y: Value, name: str) -> Value:
    """The sum of one bit of every element of `y`."""
    bit = build.add(f"{name}.bit", Requantize(FixedType(False, 1, y.type.frac), Rounding.TRN, Overflow.WRAP), y)
    flat = bit if len(y.shape) == 1 else build.add(f"{name}.flat", Reshape((y.size,)), bit)
    ones = build.constant(f"{name}.one.weight", FixedType(False, 1, -y.type.frac), np.ones((1, y.size), np.int64))
    return build.add(f"{name}.one", Linear(), flat, ones)


def total(build: GraphBuilder, parts: list[Value]) -> Value:
    """The sum of all parts, by a tree, so that it stays narrow."""
    while len(parts) > 1:
        parts = [*parts[2:], build.add(f"sum{len(parts)}", Add(), *parts[:2])]
    return parts[0]
