"""Projects for the tests of the C++: a small network, and how a graph becomes a folder that C simulation takes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from qfx.fixed import FixedType, IntArray, Overflow, Rounding
from qfx.ir import Graph, GraphBuilder, Value
from qfx.ops import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Linear,
    MaxPool2d,
    Multiply,
    PReLU,
    ReLU,
    Requantize,
    Reshape,
    Shift,
    Upsample,
)
from qfx.ops.sampling import activation, khot_constant, random_codes
from qfx.sim import Simulator
from qfx.sim.csim import CSimulator
from qfx.testing.projects import frames, write_project

U4 = FixedType(False, 4, 2)
S6 = FixedType(True, 6, 3)


def small_network(digits: int | None = None, seed: int = 1) -> Graph:
    """Every kernel in one network, input `image` (2, 7, 6): plain, depthwise and grouped convolution, a fork, an add.

    Args:
        digits: None for multipliers, else all constants are K-hot.
    """
    build = GraphBuilder("small")

    def constant(name: str, type: FixedType, *shape: int) -> Value:
        codes = khot_constant(name, type, shape, seed, digits).codes if digits else random_codes(type, shape, seed)
        return build.constant(name, type, codes)

    s4 = FixedType(True, 4, 3)
    x = build.input("image", U4, (2, 7, 6))
    y = build.add("stem.conv", Conv2d(padding=(1, 1), digits=digits), x, constant("stem.conv.weight", s4, 4, 2, 3, 3))
    y = build.add("stem.bn", Affine(digits), y, constant("stem.bn.scale", S6, 4), constant("stem.bn.offset", S6, 4))
    y = build.add("stem.relu", ReLU(), y)
    stem = build.add("stem.quant", Requantize(U4), y)
    y = build.add("deep.conv", Conv2d(padding=(1, 1), groups=4, digits=digits), stem, constant("deep.conv.weight", s4, 4, 1, 3, 3))
    y = build.add("deep.quant", Requantize(S6, Rounding.RND_CONV, Overflow.SAT_SYM), y)
    y = build.add("deep.prelu", PReLU(digits), y, constant("deep.prelu.slope", s4, 4))
    y = build.add("deep.requant", Requantize(S6), y)
    y = build.add("join", Add(), y, stem)
    y = build.add("join.quant", Requantize(S6), y)
    y = build.add("pool", MaxPool2d((2, 2), (2, 2), (1, 0)), y)
    weight = constant("group.conv.weight", s4, 6, 2, 2, 1)
    y = build.add("group.conv", Conv2d(stride=(1, 2), groups=2, digits=digits), y, weight, constant("group.conv.bias", S6, 6))
    y = build.add("group.quant", Requantize(S6), y)
    y = build.add("flat", Reshape((y.size,)), y)
    y = build.add("head", Linear(digits), y, constant("head.weight", s4, 5, y.size), constant("head.bias", S6, 5))
    return build.build(y)


def several_ports(name: str = "several") -> Graph:
    """Inputs of two shapes and formats; outputs: a result, a value that goes on inside, and one under another shape.

    The value `s_in_right` has the name that the port of `right` would get.
    """
    build = GraphBuilder(name)
    left, right = build.input("left.image", U4, (2, 4, 3)), build.input("right", S6, (4,))
    y = build.add("conv", Conv2d(padding=(1, 1)), left, build.constant("w", S6, random_codes(S6, (4, 2, 3, 3), 1)))
    sums = build.add("quant", Requantize(S6), y)
    gate = build.add("s_in_right", Requantize(U4, overflow=Overflow.SAT), right)
    pooled = build.add("pool", AvgPool2d((4, 3), (4, 3), reciprocal=FixedType(False, 8, 10)), sums)
    flat = build.add("flat", Reshape((4,)), pooled)
    return build.build(build.add("join", Add(), flat, gate), sums, flat)


def gate() -> Graph:
    """`x` times a factor that is known after the whole frame, joined with `x` and an enlarged copy of a part of it."""
    build = GraphBuilder("gate")
    x = build.input("x", U4, (4, 4, 4))
    factor = build.add("factor", Requantize(U4), build.add("mean", AvgPool2d((4, 4), (4, 4)), x))
    gated = build.add("gated", Multiply(), x, factor)
    whole = build.add("whole", Upsample((4, 4)), factor)
    return build.build(build.add("all", Concat(), x, gated, whole))


def rows() -> Graph:
    """Two branches of `x`, one after the other by rows, which takes all of one before any of the other; then `x` by columns."""
    build = GraphBuilder("rows")
    x = build.input("x", U4, (4, 3, 4))
    pooled = build.add("pooled", Requantize(U4), build.add("mean", AvgPool2d((3, 1), (3, 1), reciprocal=FixedType(False, 8, 9)), x))
    below = build.add("below", Concat(1), build.add("less", Add(minus=True), x, x), x, pooled, x)
    return build.build(build.add("beside", Concat(2), below, build.add("half", Shift(-1), below)))


def averaged(reciprocal: FixedType | None) -> Graph:
    """An average over 2x3 with its reciprocal, or over 2x2 without one."""
    build = GraphBuilder("averaged")
    kernel = (2, 2) if reciprocal is None else (2, 3)
    return build.build(build.add("mean", AvgPool2d(kernel, kernel, reciprocal=reciprocal), build.input("x", S6, (3, 4, 6))))


def chain(name: str, x: Value, *steps: tuple[object, Sequence[Value]]) -> Graph:
    """A graph `x -> step0 -> step1 ...`; a step is an op with its constants."""
    build = GraphBuilder(name)
    value = build.input(x.name, x.type, x.shape)
    for index, (op, constants) in enumerate(steps):
        operands = [build.constant(f"step{index}.{c.name}", c.type, c.codes) for c in constants]
        value = build.add(f"step{index}", op, value, *operands)  # type: ignore[arg-type]
    return build.build(value)


def assert_equal(graph: Graph, found: dict[str, IntArray], inputs: dict[str, IntArray]) -> None:
    """Every value equals the integer engine's."""
    wanted = Simulator(graph).run(inputs)
    assert sorted(found) == sorted(wanted)
    for name, codes in wanted.items():
        np.testing.assert_array_equal(found[name], codes, err_msg=name)


def check_graphs(graphs: Sequence[Graph], folder: Path, optimize: str = "-O0") -> None:
    """Each graph through C simulation, two compilers at a time, against the integer engine."""

    def run(job: tuple[int, Graph]) -> dict[str, IntArray]:
        index, graph = job
        project = write_project(graph, folder / f"project{index}")
        return CSimulator(project, optimize=optimize, flags=["-Wall", "-Wextra", "-Werror"]).run(frames(graph, 5))

    with ThreadPoolExecutor(2) as pool:
        for graph, found in zip(graphs, pool.map(run, enumerate(graphs)), strict=True):
            assert_equal(graph, found, frames(graph, 5))


def image(type: FixedType, *shape: int) -> Value:
    """An input named `x`."""
    return activation("x", type, shape)
