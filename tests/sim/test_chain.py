"""Merged steps at the limits of their accumulator dtypes: what is merged has a bound of its own."""

from __future__ import annotations

import numpy as np
import pytest

from qfx.exact import LIMITS
from qfx.fixed import FixedType, IntArray, Rounding
from qfx.ir import Graph, GraphBuilder, Value
from qfx.ops import Affine, Conv2d, Linear, Requantize, Reshape
from qfx.sim import FastSimulator
from qfx.sim.chain import is_elementwise

LARGEST = (1 << 52) - 1


def minus(build: GraphBuilder, name: str, x: Value, offset: int) -> Value:
    """x - offset, as an affine."""
    scale = build.constant(f"{name}.scale", FixedType(False, 1, 0), np.array([1]))
    return build.add(name, Affine(), x, scale, build.constant(f"{name}.offset", FixedType(True, 53, 3), np.array([-offset])))


def shifted(below: int) -> tuple[GraphBuilder, Value]:
    """x - offset, where the largest x and the offset add up to 2**53 - below."""
    build = GraphBuilder("net")
    x = build.input("x", FixedType(False, 52, 3), (1,))
    return build, minus(build, "a", x, LIMITS["float64"] - below - LARGEST)


def check(graph: Graph) -> None:
    """Asserts that a chain computes every node, and gives what the ops' own arithmetic does."""
    assert all(is_elementwise(node.op, graph.operands(node)) for node in graph.nodes)
    inputs = {"x": np.array([0, 1, 3, 4, LARGEST // 2, LARGEST - 5, LARGEST - 4, LARGEST - 1, LARGEST])[:, None]}
    values = dict(inputs)
    for node in graph.nodes:
        arrays = [values[value.name] if value.constant is None else value.constant for value in graph.operands(node)]
        values[node.name] = node.op.evaluate(arrays, graph.operands(node))
    (name,) = graph.outputs
    np.testing.assert_array_equal(FastSimulator(graph).run(inputs)[name], values[name])


@pytest.mark.parametrize("rounding", [Rounding.RND, Rounding.RND_MIN_INF, Rounding.TRN, Rounding.RND_CONV])
@pytest.mark.parametrize("below", [1, 3, 4, 5, 6])
def test_half_of_what_is_dropped_may_reach_the_limit(below: int, rounding: Rounding) -> None:
    """Each step fits a float64; merged, offset and half together reach 2**53 up to a `below` of 4."""
    build, y = shifted(below)
    check(build.build(build.add("q", Requantize(FixedType(True, 51, 0), rounding), y)))


@pytest.mark.parametrize("offset", [1, 2, 8, 1 << 40])
def test_merged_offsets_may_reach_the_limit(offset: int) -> None:
    """Each affine fits a float64, and together they do not."""
    build, y = shifted(below=2)
    check(build.build(minus(build, "b", y, offset)))


@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_the_largest_row_decides_the_carrier_of_a_product(kind: str) -> None:
    """One row's sums stay small, the other's reach an odd number above 2**24."""
    build = GraphBuilder("net")
    weight = np.array([[1, 0], [4095, 4094]])
    if kind == "linear":
        x = build.input("x", FixedType(False, 12, 0), (2,))
        y = build.add("y", Linear(), x, build.constant("w", FixedType(False, 12, 0), weight))
    else:
        x = build.input("x", FixedType(False, 12, 0), (2, 1, 1))
        y = build.add("c", Conv2d(), x, build.constant("w", FixedType(False, 12, 0), weight[:, :, None, None]))
        y = build.add("y", Reshape((2,)), y)
    codes = np.array([[4095, 4095], [4095, 4094], [1, 1]])
    found = FastSimulator(build.build(y)).run({"x": codes.reshape(3, *x.shape)})["y"]
    wanted: IntArray = np.matmul(codes, np.swapaxes(weight, 0, 1))
    np.testing.assert_array_equal(found, wanted)
    assert (found[0, 1] % 2, found[0, 1] > 1 << 24) == (1, True)
