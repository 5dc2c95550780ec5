"""Stages of any parallelism give the same values; what no kernel can do is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from qfx.errors import ExportError
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.window import Window, plan_ring
from qfx.export.hls.node_folds import choices, plain_folding
from qfx.export.hls.validator import validate
from qfx.fixed import FixedType
from qfx.ir import Graph, GraphBuilder, Node, Value
from qfx.ops import Add, Affine, AvgPool2d, Conv2d, MaxPool2d, PReLU, ReLU, Requantize
from qfx.ops.sampling import random_codes
from qfx.sim.csim import CSimulator
from qfx.testing.choices import Seeded
from qfx.testing.graphs import hls_kinds, random_graph
from qfx.testing.projects import frames, random_folding, write_project
from tests.hls.build import S6, U4, assert_equal, small_network


def tap_choices(graph: Graph, node: Node) -> list[int]:
    """Kernel positions per cycle that the node's kernel can have."""
    return sorted({fold.taps for fold in choices(graph, node)})


def check(graph: Graph, folding: dict[str, Fold], folder: Path) -> None:
    project = write_project(graph, folder, folding=folding)
    assert [str(violation) for violation in validate(project / "hls")] == []
    inputs = frames(graph, 4)
    found = CSimulator(project, optimize="-O0", flags=["-Wall", "-Wextra", "-Werror"]).run(inputs)
    assert_equal(graph, found, inputs)


@pytest.mark.parametrize("digits", [None, 2])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_network_folded_at_random(seed: int, digits: int | None, tmp_path: Path) -> None:
    graph = small_network(digits)
    check(graph, random_folding(graph, Seeded(seed)), tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_random_networks_folded_at_random(seed: int, tmp_path: Path) -> None:
    graph = random_graph(Seeded(seed), hls_kinds())
    check(graph, random_folding(graph, Seeded(seed + 100)), tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(3, 60))
def test_more_random_networks_folded_at_random(seed: int, tmp_path: Path) -> None:
    graph = random_graph(Seeded(seed), hls_kinds())
    check(graph, random_folding(graph, Seeded(seed + 100)), tmp_path)


def convolutions() -> Graph:
    """Convolutions whose windows lie in every way in the image, one after the other."""
    build = GraphBuilder("windows")
    y = build.input("x", S6, (4, 9, 8))
    kernels = [
        ((3, 3), Conv2d(padding=(1, 1))),
        ((2, 3), Conv2d((1, 2), (1, 0), groups=4)),
        ((3, 1), Conv2d((2, 1), (2, 0), (2, 1))),
        ((1, 1), Conv2d()),
        ((1, 1), Conv2d((2, 2))),
        ((1, 2), Conv2d(padding=(1, 1))),
        ((3, 2), Conv2d((1, 1), (1, 1), groups=2)),
    ]
    for number, (kernel, op) in enumerate(kernels):
        weight = build.constant(f"w{number}", S6, random_codes(S6, (4, 4 // op.groups, *kernel), number))
        y = build.add(f"conv{number}", op, y, weight)
        y = build.add(f"cast{number}", Requantize(S6), y)
    y = build.add("largest", MaxPool2d((3, 2), (1, 1), (1, 1)), y)
    return build.build(build.add("mean", AvgPool2d((2, 3), (1, 1), (1, 1), reciprocal=FixedType(False, 8, 10)), y))


@pytest.mark.parametrize("taps", [0, 1, -1], ids=["one", "column", "all"])
def test_windows_of_every_kind(taps: int, tmp_path: Path) -> None:
    graph = convolutions()
    ways = {node.name: tap_choices(graph, node) for node in graph.nodes}
    assert ways["conv0"] == [1, 3, 9] and ways["largest"] == [1, 3, 6] and ways["conv2"] == [1, 3] and ways["conv5"] == [1, 2]
    check(graph, {name: Fold((2,), 2, few[min(taps, len(few) - 1)]) for name, few in ways.items()}, tmp_path)


def several_pixels() -> Graph:
    """Every kernel that makes several pixels a cycle: windows at all ends of rows, strides, dilation, element-wise ops."""
    build = GraphBuilder("pixels")
    x = build.input("x", U4, (2, 7, 12))

    def conv(name: str, y: Value, kernel: tuple[int, int], op: Conv2d, outputs: int = 2) -> Value:
        codes = random_codes(S6, (outputs, y.shape[0] // op.groups, *kernel), len(name))
        bias = build.constant(f"{name}.b", S6, random_codes(S6, (outputs,), 3))
        y = build.add(name, op, y, build.constant(f"{name}.w", S6, codes), bias)
        return build.add(f"{name}.cast", Requantize(S6), y)

    y = conv("same", x, (3, 3), Conv2d(padding=(1, 1)))
    short = conv("point", y, (1, 1), Conv2d())
    y = conv("apart", y, (3, 5), Conv2d(padding=(1, 2), groups=2))
    y = build.add("slope", PReLU(), y, build.constant("slope.s", S6, random_codes(S6, (2,), 5)))
    y = build.add("slope.cast", Requantize(S6), y)
    y = build.add("join", Add(), y, short)
    y = build.add("norm", Affine(), y, *(build.constant(f"norm.{what}", S6, random_codes(S6, (2,), 6)) for what in "so"))
    y = build.add("act", Requantize(U4), build.add("relu", ReLU(), y))
    y = conv("wide", y, (2, 3), Conv2d(padding=(0, 4), dilation=(1, 2)))  # 16 columns
    y = conv("strided", y, (3, 3), Conv2d((2, 2), (1, 1)))
    y = build.add("largest", MaxPool2d((2, 3), (1, 1), (0, 1)), y)
    y = build.add("mean", AvgPool2d((1, 3), (1, 1), (0, 1), reciprocal=FixedType(False, 6, 7)), y)
    y = build.add("sum", AvgPool2d((2, 2), (2, 2)), build.add("mean.cast", Requantize(U4), y))
    y = build.add("sum.cast", Requantize(U4), y)
    return build.build(conv("picked", y, (1, 1), Conv2d((1, 2)), 1))


def pixel_folding(graph: Graph, pixels: int) -> dict[str, Fold]:
    """Up to so many pixels a cycle in every stage, or one whole pixel."""
    folding = dict[str, Fold]()
    for node in graph.nodes:
        channels = graph.values[node.name].shape[0]
        found = {fold.writes // channels: fold for fold in choices(graph, node) if fold.writes >= channels}
        folding[node.name] = found[max(count for count in found if count <= pixels)]
    return folding


@pytest.mark.parametrize("pixels", [2, 4])
def test_several_pixels_at_once(pixels: int, tmp_path: Path) -> None:
    graph = several_pixels()
    folding = pixel_folding(graph, pixels)
    assert [name for name, fold in folding.items() if fold.writes < pixels * graph.values[name].shape[0]] == (
        [] if pixels == 2 else ["picked", "picked.cast"]  # 3 columns of 6
    )
    check(graph, folding, tmp_path)


def test_a_ring_has_room() -> None:
    """Words come in before they are needed, and are overwritten after."""
    for seed in range(400):
        choose = Seeded(seed)
        kernel, stride, padding, dilation = (choose.integer(1, 4) for _ in range(4))
        window = Window((kernel, 1), (stride, 1), (padding, 0), (dilation, 1), (0, 0))
        height, row_words = choose.integer(1, 9), choose.integer(1, 5)
        room = height + 2 * padding - window.reach[0] - 1
        if room < 0:
            continue
        rows = room // stride + 1
        ring = plan_ring(window, height, row_words, rows)
        total = height * row_words
        for row in range(rows):
            before = ring.ahead + min(ring.reads * row, total)
            after = ring.ahead + min(ring.reads * (row + 1), total)
            needed = [r for k in range(kernel) if 0 <= (r := row * stride - padding + k * dilation) < height]
            assert all((r + 1) * row_words <= before for r in needed), (seed, row)
            assert all(math.ceil(after / row_words) - r <= ring.lines for r in needed), (seed, row)
        assert ring.reads * rows >= total


def test_a_fold_that_no_kernel_has(tmp_path: Path) -> None:
    graph = small_network()
    folding = plain_folding(graph) | {"stem.conv": Fold((3,), 4)}
    with pytest.raises(ExportError, match=r"node 'stem.conv' cannot fold as reads 3, writes 4; it can as reads 1, writes 1;"):
        write_project(graph, tmp_path, folding=folding)
    del folding["head"]
    with pytest.raises(ExportError, match="the folding has no entry for node 'head'"):
        write_project(graph, tmp_path, folding=folding | {"stem.conv": plain_folding(graph)["stem.conv"]})


def test_words_stay_below_the_tools_limit() -> None:
    build = GraphBuilder("wide")
    wide = FixedType(True, 20, 3)
    x = build.input("x", wide, (64, 4, 4))
    weight = build.constant("w", S6, np.ones((64, 64, 3, 3), np.int64))
    graph = build.build(build.add("conv", Conv2d(padding=(1, 1)), x, weight))
    found = list(choices(graph, graph.nodes[0]))
    assert max(fold.simd * 20 for fold in found) <= 1024 and max(fold.simd for fold in found) >= 36


@pytest.mark.parametrize(("width", "pe"), [(8, 2), (4, 3), (4, 2), (2, 6)])
def test_weights_share_dsps(width: int, pe: int, tmp_path: Path) -> None:
    build = GraphBuilder("packed")
    x = build.input("x", FixedType(False, width, 3), (4, 5, 4))
    type = FixedType(True, width, 2)
    codes = random_codes(type, (6, 4, 3, 3), 1)
    codes.flat[:2] = type.min_int, type.max_int
    y = build.add(
        "conv", Conv2d(padding=(1, 1)), x, build.constant("w", type, codes), build.constant("b", S6, random_codes(S6, (6,), 2))
    )
    graph = build.build(y)
    for number, fold in enumerate([Fold((2,), pe, 1, "packed"), Fold((4,), pe, 9, "packed")]):
        check(graph, {"conv": fold}, tmp_path / str(number))


def test_products_by_shifts_where_constants_have_few_digits(tmp_path: Path) -> None:
    """The codes are those of any other product."""
    build = GraphBuilder("shifts")
    x = build.input("x", U4, (2, 4, 4))
    few, many = (np.resize(np.array(codes), (2, 2, 2, 2)) for codes in ([8, -4, 3, 6, 0, -9], [8, 11, 1]))
    y = build.add("cast", Requantize(S6), build.add("few", Conv2d(), x, build.constant("few.w", S6, few)))
    graph = build.build(build.add("many", Conv2d(), y, build.constant("many.w", S6, many)))
    ways = {node.name: {fold.product for fold in choices(graph, node)} for node in graph.nodes}
    assert ways["few"] == {"", "dsp", "lut", "khot", "packed"} and ways["many"] == {"", "dsp", "lut", "packed"}
    check(graph, plain_folding(graph) | {"few": Fold((2,), 2, 2, "khot")}, tmp_path)
    assert "conv2d_khot<layer::few>" in (tmp_path / "hls/shifts.cpp").read_text()
