"""Graphs that several tests use, built without torch."""

from __future__ import annotations

from qfx.fixed import FixedType
from qfx.ir import Graph, GraphBuilder, Value
from qfx.ops import Add, Affine, AvgPool2d, Conv2d, Linear, PReLU, ReLU, Requantize, Reshape
from qfx.ops.sampling import random_codes

U4 = FixedType(False, 4, 2)
S5 = FixedType(True, 5, 2)


def constant(build: GraphBuilder, name: str, type: FixedType, shape: tuple[int, ...], seed: int = 1) -> Value:
    """A random constant."""
    return build.constant(name, type, random_codes(type, shape, seed))


def residual_network() -> Graph:
    """A small residual network with every kind of layer that the demonstration has: input `x` (2, 5, 6), output `head`."""
    build = GraphBuilder("residual")
    x = build.input("x", U4, (2, 5, 6))
    conv = build.add("stem.conv", Conv2d(padding=(1, 1)), x, constant(build, "stem.w", FixedType(True, 4, 3), (3, 2, 3, 3)))
    scale, offset = (constant(build, f"stem.{n}", FixedType(True, 8, 9), (3,), s) for n, s in (("scale", 2), ("offset", 3)))
    stem = build.add("stem", Requantize(U4), build.add("stem.act", ReLU(), build.add("stem.bn", Affine(), conv, scale, offset)))
    body = build.add("body.conv", Conv2d(padding=(1, 1)), stem, constant(build, "body.w", FixedType(True, 4, 4), (3, 3, 3, 3), 4))
    branch = build.add("body", Requantize(S5), body)
    total = build.add("add", Add(), branch, stem)
    slope = constant(build, "slope", FixedType(True, 8, 8), (3,), 5)
    act = build.add("act", Requantize(S5), build.add("act.prelu", PReLU(), total, slope))
    pool = build.add("pool", AvgPool2d((5, 6), (5, 6), reciprocal=FixedType(False, 8, 12)), act)
    flat = build.add("flat", Reshape((3,)), build.add("pool.quant", Requantize(S5), pool))
    return build.build(build.add("head", Linear(), flat, constant(build, "head.w", FixedType(True, 8, 7), (4, 3), 6)))
