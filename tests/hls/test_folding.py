"""Stages of any parallelism give the same values; what no kernel can do is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from qfx.errors import ExportError
from qfx.export.hls import write_hls
from qfx.export.hls.folding import Fold, choices, plain_folding, tap_choices
from qfx.export.hls.geometry import Window, plan_ring
from qfx.export.hls.validator import validate
from qfx.fixed import FixedType
from qfx.ir import Graph, GraphBuilder, save_graph
from qfx.ops import Conv2d, Requantize
from qfx.ops.sampling import random_codes
from qfx.sim import Simulator
from qfx.sim.csim import CSimulator
from tests.hls.build import S6, assert_equal, frames, small_network
from tests.random_choices import Choices, Seeded
from tests.random_networks import hls_kinds, random_graph


def random_folding(graph: Graph, choose: Choices) -> dict[str, Fold]:
    """Any fold of every node."""
    return {node.name: choose.pick(list(choices(graph, node))) for node in graph.nodes}


def folded_project(graph: Graph, folding: dict[str, Fold], folder: Path) -> Path:
    """As `write_project`, folded."""
    folder.mkdir(parents=True, exist_ok=True)
    save_graph(graph, folder)
    inputs = frames(graph, 2)
    outputs = Simulator(graph).run(inputs, frozenset(graph.outputs))
    write_hls(graph, folder / "hls", golden_inputs=inputs, golden_outputs=outputs, folding=folding, allow_unverified_modes=True)
    return folder


def check(graph: Graph, folding: dict[str, Fold], folder: Path) -> None:
    project = folded_project(graph, folding, folder)
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
    ]
    for number, (kernel, op) in enumerate(kernels):
        weight = build.constant(f"w{number}", S6, random_codes(S6, (4, 4 // op.groups, *kernel), number))
        y = build.add(f"conv{number}", op, y, weight)
        y = build.add(f"cast{number}", Requantize(S6), y)
    return build.build(y)


@pytest.mark.parametrize("all_taps", [False, True])
def test_windows_of_every_kind(all_taps: bool, tmp_path: Path) -> None:
    graph = convolutions()
    folding = plain_folding(graph)
    for node in graph.nodes:
        folding[node.name] = Fold((2,), 2, tap_choices(graph, node)[-1 if all_taps else 0])
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
        folded_project(graph, folding, tmp_path)
    del folding["head"]
    with pytest.raises(ExportError, match="the folding has no entry for node 'head'"):
        folded_project(graph, folding | {"stem.conv": plain_folding(graph)["stem.conv"]}, tmp_path)


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
