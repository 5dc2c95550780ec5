"""The folding search: within the budget, as fast as that allows, in the ways to multiply that were asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qfx.errors import ExportError
from qfx.export.accelerator import with_folding
from qfx.export.cost import total
from qfx.export.fold import SHARES, Search
from qfx.export.hls import node_folds
from qfx.export.hls.board import load_board
from qfx.export.hls.node_folds import Candidates, check_folding, node_cycles
from qfx.ir import Graph
from qfx.project import write_project
from qfx.sim import Simulator
from qfx.sim.csim import CSimulator
from qfx.testing.projects import frames
from tests.counting import count_calls
from tests.hls.build import assert_equal, small_network

BOARD = load_board("ultra96")
GRAPH = small_network()


def search(graph: Graph = GRAPH, **more: object) -> Search:
    return Search(graph, BOARD, **more)  # type: ignore[arg-type]


def test_the_fastest_folding_fits_and_is_bit_exact(tmp_path: Path) -> None:
    found = search().fastest()
    check_folding(GRAPH, found.folding)
    candidates = Candidates(GRAPH)
    assert found.resources == total(candidates.of(node, found.folding[node.name]).cost for node in GRAPH.nodes)
    assert not found.resources.exceeds({name: int(BOARD.resources[name] * share) for name, share in SHARES.items()})
    cycles = {node.name: node_cycles(GRAPH, node, found.folding[node.name]) for node in GRAPH.nodes}
    assert found.interval == max(cycles.values()) == cycles[found.bottleneck]
    inputs = frames(GRAPH, 3)
    write_project(with_folding(GRAPH, BOARD, found.folding), tmp_path / "p", inputs, allow_unverified_modes=True)
    assert_equal(GRAPH, CSimulator(tmp_path / "p", optimize="-O0").run(inputs), inputs)
    assert set(Simulator(GRAPH).run(inputs)) == set(GRAPH.activations())


def test_a_slower_rate_costs_less() -> None:
    intervals = search().intervals()
    fast, slow = search().fastest(), search().at(intervals[-1])
    assert slow.resources.lut < fast.resources.lut and slow.interval > fast.interval


def test_a_small_board_is_slower_or_says_what_is_short() -> None:
    small = replace(BOARD, resources={name: count // 32 for name, count in BOARD.resources.items()})
    slower = Search(GRAPH, small).fastest()
    assert slower.interval > search().fastest().interval and "would take" in slower.relief
    none = replace(BOARD, resources=dict.fromkeys(BOARD.resources, 10))
    with pytest.raises(ExportError, match=r"graph 'small' does not fit board 'ultra96' at any rate: .* would take .* lut of 7"):
        Search(GRAPH, none).fastest()
    with pytest.raises(ExportError, match=r"no folding takes 1 cycles per frame; the fastest takes \d+"):
        search().at(1)


def test_ways_to_multiply() -> None:
    found = search(products={"head": "lut", "stem.conv": "dsp"}).fastest()
    assert found.folding["head"].product == "lut" and found.folding["stem.conv"].product == "dsp"
    with pytest.raises(ExportError, match=r"the graph has no node 'tail', for which products are asked"):
        search(products={"tail": "lut"})
    with pytest.raises(ExportError, match=r"node 'stem.relu' has no products in 'lut'"):
        search(products={"stem.relu": "lut"})


def test_a_multiplier_free_network_takes_no_dsp() -> None:
    graph = small_network(digits=2)
    assert search(graph).fastest().resources.dsp == 0
    assert np.all([fold.product == "" for fold in search(graph).fastest().folding.values()])


def test_a_search_makes_one_kernel_per_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cycles and cost come from the same kernel, and layers that are alike share it."""
    calls = count_calls(monkeypatch, ((node_folds, "kernel_of"),))
    search().fastest()
    candidates = Candidates(GRAPH)
    every = [(candidates.operation(node).likeness, fold) for node in GRAPH.nodes for fold in candidates.folds(node)]
    assert 0 < calls["kernel_of"] <= len(set(every))
