"""Max pools before element-wise ops: the same outputs, fewer values."""

from __future__ import annotations

import numpy as np
import pytest

from qfx.fixed import FixedType, Overflow, Rounding
from qfx.ir import Graph, GraphBuilder, Value
from qfx.ops import Affine, Clamp, Conv2d, MaxPool2d, Op, ReLU, Requantize
from qfx.sim import Simulator
from qfx.sim.pool_first import pool_first

INPUT, WEIGHT = FixedType(True, 6, 3), FixedType(True, 4, 3)
POOL = MaxPool2d((2, 2), (2, 2))
HEAD = "conv2d requantize"


def codes(seed: int, type: FixedType, *shape: int) -> np.ndarray:
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


def same(graph: Graph, expected: Graph) -> None:
    """Both graphs give the same outputs, by the ops' own arithmetic."""
    x = {"x": codes(7, INPUT, 20, 2, 9, 8)}
    for name, values in Simulator(expected).run(x).items():
        if name in expected.outputs:
            np.testing.assert_array_equal(Simulator(graph)._evaluate(x)[name], values)  # pyright: ignore[reportPrivateUsage]


CAST = Requantize(FixedType(False, 5, 3), Rounding.RND, Overflow.SAT)


@pytest.mark.parametrize(
    ("steps", "kinds"),
    [
        ((Affine(), ReLU(), CAST), "conv2d max_pool2d affine relu requantize"),
        ((Clamp(-20, 25, 3), ReLU()), "conv2d max_pool2d clamp relu"),
        (
            (Requantize(INPUT, Rounding.TRN_ZERO, Overflow.SAT_SYM), Affine(), CAST),
            "conv2d requantize affine max_pool2d requantize",
        ),
        ((Requantize(INPUT, Rounding.RND, Overflow.WRAP), ReLU()), f"{HEAD} max_pool2d relu"),
        ((Requantize(INPUT, Rounding.RND_CONV, Overflow.SAT_ZERO),), f"{HEAD} max_pool2d"),
    ],
    ids=["signs taken by the convolution", "clamp", "no convolution before the affine", "wrap", "sat_zero"],
)
def test_pools_go_before_what_keeps_order(steps: tuple[Op, ...], kinds: str) -> None:
    graph = network(*steps)
    early = pool_first(graph, graph.outputs)
    assert " ".join(node.op.kind for node in early.nodes) == kinds
    assert early.values["pool"].type == graph.values["pool"].type
    same(early, graph)


def test_an_affine_without_negative_scales_needs_no_sign() -> None:
    graph = network(Affine(), ReLU(), positive=True)
    early = pool_first(graph, graph.outputs)
    assert [node.op.kind for node in early.nodes] == ["conv2d", "max_pool2d", "affine", "relu"]
    assert early.node("conv").inputs == ("x", "weight", "bias")
    same(early, graph)


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
    graph = network(Affine(), CAST, pool=pool)
    early = pool_first(graph, graph.outputs)
    assert early.nodes[1].op == pool
    same(early, graph)


def test_what_is_wanted_keeps_its_meaning() -> None:
    graph = network(Affine(), CAST)
    early = pool_first(graph, {"pool", "step0"})
    assert [node.name for node in early.nodes] == ["conv", "step0", "step1", "pool"]
    assert [node.op.kind for node in early.nodes] == ["conv2d", "affine", "max_pool2d", "requantize"]
    assert pool_first(graph, {"step1"}) is graph


def test_a_pool_that_saves_nothing_stays() -> None:
    graph = network(CAST, pool=MaxPool2d((3, 3), (1, 1), (1, 1)))
    assert pool_first(graph, graph.outputs) is graph


def test_a_window_in_the_padding_alone_stays() -> None:
    """Both rows of the only row of windows lie in the padding, above and below: it must stay the least code of its own format."""
    graph = network(CAST, pool=MaxPool2d((2, 2), (2, 2), (1, 0), (10, 1)))
    assert pool_first(graph, graph.outputs) is graph
