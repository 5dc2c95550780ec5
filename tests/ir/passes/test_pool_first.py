"""Max pools before element-wise ops: the same outputs, fewer values."""

from __future__ import annotations

import numpy as np
import pytest

from qfx.fixed import FixedType, IntArray, Overflow, Rounding
from qfx.ir import Graph, GraphBuilder, Value
from qfx.ir.passes.pool_first import pool_first
from qfx.ops import Affine, Clamp, Conv2d, MaxPool2d, Op, ReLU, Requantize
from tests.ir.passes.outputs import assert_same_outputs

INPUT, WEIGHT = FixedType(True, 6, 3), FixedType(True, 4, 3)
POOL = MaxPool2d((2, 2), (2, 2))
CAST = Requantize(FixedType(False, 5, 3), Rounding.RND, Overflow.SAT)


def codes(seed: int, type: FixedType, *shape: int) -> IntArray:
    return np.random.default_rng(seed).integers(type.min_int, type.max_int + 1, shape)


def network(*steps: Op, pool: MaxPool2d = POOL, positive: bool = False) -> Graph:
    """A convolution, the steps (an affine with scales of both signs unless `positive`), a pool."""
    build = GraphBuilder("net")
    y = build.input("x", INPUT, (2, 9, 8))
    weight = build.constant("weight", WEIGHT, codes(1, WEIGHT, 5, 2, 3, 3))
    y = build.add("conv", Conv2d(padding=(1, 1)), y, weight, build.constant("bias", INPUT, codes(2, INPUT, 5)))
    for index, op in enumerate(steps):
        constants: list[Value] = []
        if isinstance(op, Affine):
            scale = np.array([3, 7, 2, 0, 5] if positive else [3, -8, 2, 0, -5])
            constants = [build.constant(f"scale{index}", WEIGHT, scale), build.constant(f"o{index}", INPUT, codes(4, INPUT, 5))]
        y = build.add(f"step{index}", op, y, *constants)
    return build.build(build.add("pool", pool, y))


def moved(graph: Graph, kinds: str) -> Graph:
    """The graph after the pass, which has these ops and gives the same outputs."""
    early = pool_first(graph, graph.outputs)
    assert " ".join(node.op.kind for node in early.nodes) == kinds
    assert early.values["pool"].type == graph.values["pool"].type
    assert_same_outputs(graph, early)
    return early


def test_1_before_a_relu() -> None:
    moved(network(ReLU()), "conv2d max_pool2d relu")


def test_2_before_a_clamp() -> None:
    moved(network(Clamp(-20, 25, 3)), "conv2d max_pool2d clamp")


@pytest.mark.parametrize("overflow", [Overflow.SAT, Overflow.SAT_SYM])
@pytest.mark.parametrize("rounding", Rounding)
def test_3_before_a_requantize_that_saturates(rounding: Rounding, overflow: Overflow) -> None:
    moved(network(Requantize(FixedType(True, 5, 3), rounding, overflow)), "conv2d max_pool2d requantize")


@pytest.mark.parametrize("overflow", [Overflow.WRAP, Overflow.SAT_ZERO, Overflow.WRAP_SM])
def test_3_never_before_another_requantize(overflow: Overflow) -> None:
    moved(network(Requantize(FixedType(True, 5, 3), overflow=overflow), ReLU()), "conv2d requantize max_pool2d relu")


def test_4_before_an_affine_without_negative_scales() -> None:
    early = moved(network(Affine(), positive=True), "conv2d max_pool2d affine")
    assert early.node("conv").inputs == ("x", "weight", "bias")


def test_5_the_convolution_takes_the_signs_of_an_affine() -> None:
    early = moved(network(Affine()), "conv2d max_pool2d affine")
    assert early.node("conv").inputs == ("x", "conv/weight", "conv/bias")
    signed = early.values["conv/weight"]
    assert signed.type == FixedType(True, WEIGHT.width + 1, WEIGHT.frac)
    assert [int(np.sign((signed.codes[c] * codes(1, WEIGHT, 5, 2, 3, 3)[c]).sum())) for c in range(5)] == [1, -1, 1, 1, -1]
    assert (early.values["step0/scale0"].codes >= 0).all()


def test_5_never_before_negative_scales_without_a_convolution() -> None:
    steps = (Requantize(INPUT, Rounding.TRN_ZERO, Overflow.SAT_SYM), Affine(), CAST)
    moved(network(*steps), "conv2d requantize affine max_pool2d requantize")


def test_6_before_a_run() -> None:
    early = moved(network(Affine(), ReLU(), CAST), "conv2d max_pool2d affine relu requantize")
    assert [node.name for node in early.nodes] == ["conv", "step2", "step0", "step1", "pool"]


def test_6_never_before_what_is_wanted() -> None:
    graph = network(Affine(), CAST)
    early = pool_first(graph, {"pool", "step0"})
    assert [node.name for node in early.nodes] == ["conv", "step0", "step1", "pool"]
    assert [node.op.kind for node in early.nodes] == ["conv2d", "affine", "max_pool2d", "requantize"]
    assert pool_first(graph, {"step1"}) is graph


@pytest.mark.parametrize(
    "pool",
    [
        MaxPool2d((3, 3), (2, 2), (1, 1)),
        MaxPool2d((2, 3), (2, 1), (1, 0), (3, 2)),
        MaxPool2d((2, 2), (2, 2), (0, 0), (1, 1), (1, 0)),
    ],
    ids=["padded", "dilated", "ceil mode"],
)
def test_padding_never_wins(pool: MaxPool2d) -> None:
    assert moved(network(Affine(), CAST, pool=pool), "conv2d max_pool2d affine requantize").nodes[1].op == pool


def test_a_pool_that_saves_nothing_stays() -> None:
    graph = network(CAST, pool=MaxPool2d((3, 3), (1, 1), (1, 1)))
    assert pool_first(graph, graph.outputs) is graph


def test_a_window_in_the_padding_alone_stays() -> None:
    """Both rows of the only row of windows lie in the padding, above and below: it must stay the least code of its own format."""
    graph = network(CAST, pool=MaxPool2d((2, 2), (2, 2), (1, 0), (10, 1)))
    assert pool_first(graph, graph.outputs) is graph
