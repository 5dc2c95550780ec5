"""K-hot products: the same codes by shifts and additions."""

from __future__ import annotations

import numpy as np
import pytest

from qfx.errors import ExportError
from qfx.fixed import FixedType
from qfx.ir import Graph, GraphBuilder
from qfx.ir.passes.k_hot import multiplier_free, with_khot
from qfx.ops import Affine, AvgPool2d, Conv2d, Linear, Multiply, PReLU, ReLU, Reshape
from qfx.ops.sampling import random_codes
from tests.ir.passes.outputs import assert_same_outputs

X, WEIGHT = FixedType(True, 6, 3), FixedType(True, 6, 3)


def network() -> Graph:
    """Every op that multiplies by constants, one of them K-hot, and one that does not multiply."""
    build = GraphBuilder("net")
    y = build.input("x", X, (2, 4, 3))
    y = build.add("conv", Conv2d(), y, build.constant("conv.w", WEIGHT, np.full((3, 2, 1, 1), 11)))
    offset = build.constant("bn.o", WEIGHT, np.array([1, -2, 3]))
    y = build.add("bn", Affine(), y, build.constant("bn.s", WEIGHT, np.array([1, 0, -4])), offset)
    y = build.add("prelu", PReLU(digits=3), y, build.constant("slope", WEIGHT, np.array([1, 2, 4])))
    y = build.add("flat", Reshape((36,)), build.add("relu", ReLU(), y))
    return build.build(build.add("head", Linear(), y, build.constant("head.w", WEIGHT, random_codes(WEIGHT, (2, 36), 1) * 0)))


def digits(graph: Graph) -> dict[str, int | None]:
    return {node.name: getattr(node.op, "digits", None) for node in graph.nodes}


def test_1_as_many_digits_as_the_constants_have() -> None:
    graph = network()
    after = with_khot(graph, ["conv", "bn", "head"])
    assert digits(after) == digits(graph) | {"conv": 3, "bn": 1, "head": 1}  # 11 = 8 + 4 - 1
    assert_same_outputs(graph, after)


def test_2_k_hot_nodes_stay_as_they_are() -> None:
    graph = network()
    after = with_khot(graph, ["prelu"])
    assert after.node("prelu") is graph.node("prelu") and digits(after)["prelu"] == 3
    assert_same_outputs(graph, after)


def test_3_every_node_that_multiplies_by_constants() -> None:
    graph = network()
    after = multiplier_free(graph)
    assert digits(after) == {"conv": 3, "bn": 1, "prelu": 3, "flat": None, "relu": None, "head": 1}
    assert not any(node.op.cost(after.operands(node)).multiplications for node in after.nodes)
    assert_same_outputs(graph, after)


def test_nodes_that_cannot_be_k_hot_are_refused() -> None:
    with pytest.raises(ExportError, match=r"the graph has no node 'tail', for which K-hot products are asked; it has conv, bn, "):
        with_khot(network(), ["tail"])
    with pytest.raises(ExportError, match=r"node 'relu' \(relu\) multiplies by no constants, so that none can be K-hot"):
        with_khot(network(), ["relu"])


def test_products_of_computed_values_are_refused() -> None:
    build = GraphBuilder("gated")
    x = build.input("x", FixedType(True, 4, 2), (2, 6, 6))
    y = build.add("square", Multiply(), x, x)
    y = build.add("mean", AvgPool2d((3, 3), (3, 3), reciprocal=FixedType(False, 8, 10)), y)
    with pytest.raises(ExportError, match=r"cannot do without multiplications: square, mean; they multiply computed values"):
        multiplier_free(build.build(y))
