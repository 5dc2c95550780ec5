"""Compiled programs: the codes of every op's own arithmetic, whatever is merged, in whatever blocks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray, Overflow, Rounding
from qfx.ir import Graph, GraphBuilder
from qfx.ops import OPS, Add, Affine, Clamp, Conv2d, Linear, PReLU, ReLU, Requantize, Sample
from qfx.ops.sampling import corner_codes, random_codes
from qfx.sim import FastSimulator, Simulator, blas, kernels, program
from qfx.sim.arena import Arena
from qfx.sim.program import Program
from qfx.testing.choices import Seeded
from qfx.testing.conformance import sample_graph, sample_inputs
from qfx.testing.graphs import random_graph, random_inputs
from tests.networks import residual_network

SAMPLES = [(kind, sample) for kind in OPS for sample in OPS[kind].samples()]


def reference(graph: Graph, inputs: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Every value, by `evaluate`."""
    values: dict[str, IntArray] = {**inputs}
    for node in graph.nodes:
        operands = graph.operands(node)
        arrays = [values[value.name] if value.constant is None else value.constant for value in operands]
        values[node.name] = node.op.evaluate(arrays, operands)
    return values


def check(graph: Graph, inputs: Mapping[str, IntArray]) -> None:
    """Asserts that merged and unmerged programs, and the interpreter, give the reference."""
    wanted = reference(graph, inputs)
    simulators = (FastSimulator(graph, threads=2), FastSimulator(graph, wanted, threads=2), Simulator(graph, threads=2))
    for simulator in simulators:
        found = simulator.run(inputs)
        assert list(found) == [name for name in wanted if simulator is not simulators[0] or name in graph.outputs]
        for name, codes in found.items():
            np.testing.assert_array_equal(codes, wanted[name], err_msg=f"{name}\n{graph.text()}")


@pytest.mark.parametrize(("kind", "sample"), SAMPLES, ids=[f"{kind}: {sample.label}" for kind, sample in SAMPLES])
def test_every_sample(kind: str, sample: Sample) -> None:
    for corners in (True, False):
        check(sample_graph(sample), sample_inputs(sample, corners))


@pytest.mark.parametrize("start", range(0, 100, 25))
def test_random_networks(start: int) -> None:
    for seed in range(start, start + 25):
        graph = random_graph(Seeded(seed))
        check(graph, {graph.inputs[0]: random_inputs(graph, 12, seed)})


def normalised(rounding: Rounding, overflow: Overflow, rectified: bool, type: FixedType) -> Graph:
    """x -> linear with a bias -> affine -> relu, if `rectified` -> requantize."""
    build = GraphBuilder("net")
    x = build.input("x", FixedType(True, 6, 2), (2,))
    weight = build.constant("w", FixedType(True, 4, 3), np.array([[1, -8], [7, 3], [0, 1]]))
    bias = build.constant("b", FixedType(True, 5, 6), np.array([-16, 15, 1]))
    y = build.add("y", Linear(), x, weight, bias)
    scale = build.constant("s", FixedType(True, 4, 1), np.array([-8, 5, 1]))
    offset = build.constant("o", FixedType(True, 6, 3), np.array([-32, 31, 2]))
    y = build.add("n", Affine(), y, scale, offset)
    y = build.add("r", ReLU(), y) if rectified else y
    return build.build(build.add("q", Requantize(type, rounding, overflow), y))


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
def test_every_mode_on_every_input(rounding: Rounding, overflow: Overflow, rectified: bool) -> None:
    every = np.array(list(itertools.product(range(-32, 32), repeat=2)))
    types = [FixedType(True, 5, 3), FixedType(True, 1, -2), FixedType(True, 20, 9)]
    if overflow is not Overflow.WRAP_SM:  # which unsigned formats do not have
        types += [FixedType(False, 4, 4), FixedType(False, 3, -7)]
    for type in types:
        check(normalised(rounding, overflow, rectified, type), {"x": every})


@pytest.mark.parametrize("bits", [23, 24, 25, 51, 52, 53, 60])
@pytest.mark.parametrize("odd", [-1, 0, 1])
def test_the_limits_of_the_accumulators(bits: int, odd: int) -> None:
    """Accumulators just below, at and above 2**bits, through every element-wise op."""
    build = GraphBuilder("net")
    x = build.input("x", FixedType(False, 1, 0), (3,))
    codes = np.array([[1 << bits - 1, (1 << bits - 1) - 1, 1 + odd], [-(1 << bits - 1), -(1 << bits - 1), -odd]])
    y = build.add("y", Linear(), x, build.constant("w", FixedType(True, bits + 1, 0), codes))
    ones = build.constant("one", FixedType(False, 1, 0), np.ones(2, np.int64))
    small = build.constant("small", FixedType(True, 2, 0), np.array([1, -1]))
    outs = [
        build.add("affine", Affine(), y, ones, small),
        build.add("relu", ReLU(), y),
        build.add("clamp", Clamp(-5, (1 << bits) - 1), y),
        build.add("add", Add(), y, y),
        build.add("prelu", PReLU(), y, small),
        *(build.add(f"cut{i}", Requantize(FixedType(True, 63, -i)), y) for i in (0, 1, 3)),
        *(build.add(f"wrap{i}", Requantize(FixedType(True, 9, -i), Rounding.TRN, Overflow.WRAP), y) for i in (0, 2)),
    ]
    check(build.build(*outs), {"x": np.array(list(itertools.product((0, 1), repeat=3)))})


def test_a_shift_beyond_the_exponents_of_a_float() -> None:
    build = GraphBuilder("net")
    x = build.input("x", FixedType(True, 8, 500), (4,))
    outs = [build.add(f"q{frac}", Requantize(FixedType(True, 8, frac), Rounding.TRN), x) for frac in (390, 360, -300, -480)]
    check(build.build(*outs), {"x": random_codes(x.type, (9, 4), 1)})


def test_blocks_of_rows_and_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = residual_network()
    x = random_codes(graph.values["x"].type, (23, 2, 5, 6), 3)
    monkeypatch.setattr(kernels, "BLOCK_BYTES", 1)
    monkeypatch.setattr(program, "BLOCK_BYTES", 1)
    for bytes, samples in ((1, 1), (8 * 90 * 7, 7), (1 << 20, 1024)):
        monkeypatch.setattr(program, "LIVE_BYTES", bytes)
        assert program.block_samples(graph) == samples
        check(graph, {"x": x})


def test_a_program_can_run_again_with_fewer_samples() -> None:
    graph = residual_network()
    x = random_codes(graph.values["x"].type, (9, 2, 5, 6), 3)
    compiled = Program(graph, ["head"], 5)
    for start, stop in ((0, 5), (5, 9), (8, 9), (0, 0)):
        wanted = reference(graph, {"x": x[start:stop]})["head"] if stop > start else np.zeros((0, 4), np.int64)
        np.testing.assert_array_equal(compiled.run({"x": x[start:stop]})["head"], wanted)


def test_merged_ops_take_one_pass_each() -> None:
    """Without a bias: product, scale, offset and half, floor, clip; a copy to widen and one to store."""
    build = GraphBuilder("net")
    x = build.input("x", FixedType(False, 8, 0), (2, 3, 3))
    weight = build.constant("w", FixedType(True, 8, 7), random_codes(FixedType(True, 8, 7), (3, 2, 3, 3), 1))
    scale = build.constant("s", FixedType(True, 8, 7), np.array([100, 3, -5]))
    y = build.add(
        "n", Affine(), build.add("c", Conv2d(), x, weight), scale, build.constant("o", FixedType(True, 4, 3), np.arange(3))
    )
    graph = build.build(build.add("q", Requantize(FixedType(False, 8, 0)), build.add("r", ReLU(), y)))
    calls: list[Any] = Program(graph, ["q"], 4)._calls  # pyright: ignore[reportPrivateUsage, reportAssignmentType]
    names = [call.func.__name__ for call in calls]
    assert names == ["copyto", "matmul", "copyto", "multiply", "add", "floor", "_clip", "copyto"]
    check(graph, {"x": corner_codes(x.type, x.shape)})


def test_an_output_that_leaves_its_format_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = residual_network()

    def wrong(self: Program, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, IntArray]:
        return {"head": np.full((2, 4), 1 << 40)}

    monkeypatch.setattr(Program, "run", wrong)
    with pytest.raises(GraphError, match=r"node 'head': codes from 1099511627776 to 1099511627776 leave FixedType"):
        FastSimulator(graph).run({"x": np.zeros((2, 2, 5, 6), np.uint8)})


def test_an_arena_lends_no_memory_twice() -> None:
    arena = Arena()
    first, second = arena.take((3, 5), "float32"), arena.take((40,), "float64")
    assert not np.shares_memory(first, second)
    arena.give(first)
    third, fourth = arena.take((7,), "int64"), arena.take((2,), "float32")
    assert np.shares_memory(first, third) and not np.shares_memory(third, fourth)
    assert third.ctypes.data % 64 == 0


def test_blas_has_its_threads_back_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = [5]

    def set(count: int) -> None:
        threads[0] = count

    monkeypatch.setattr(blas, "_control", lambda: (lambda: threads[0], set))
    with blas.one_thread():
        with blas.one_thread():
            assert threads == [1]
        assert threads == [1]
    assert threads == [5]
    monkeypatch.setattr(blas, "_control", lambda: None)
    with blas.one_thread():
        assert threads == [5]
