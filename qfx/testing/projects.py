"""C++ projects of graphs, for tests that compile them: random frames, any folding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qfx.export.hls import write_hls
from qfx.export.hls.board import load_board
from qfx.export.hls.design import design
from qfx.export.hls.folding import Fold
from qfx.export.hls.node_folds import choices
from qfx.files import File
from qfx.fixed import IntArray
from qfx.ir import Graph, save_graph
from qfx.ops.sampling import random_codes
from qfx.sim import FastSimulator
from qfx.testing.choices import Choices


def frames(graph: Graph, count: int, seed: int = 7) -> dict[str, IntArray]:
    """Random codes (count, *shape) for every input."""
    values = [graph.values[name] for name in graph.inputs]
    return {value.name: random_codes(value.type, (count, *value.shape), seed + index) for index, value in enumerate(values)}


def write_project(
    graph: Graph, folder: File, golden: int = 3, axi_bits: int = 64, folding: Mapping[str, Fold] | None = None
) -> Path:
    """`graph.json`, `graph.npz` and `hls/` in `folder`: what C simulation takes, less than `qfx.project.write_project` gives.

    Args:
        golden: frames of the testbench.
        axi_bits: of a beat of the AXI streams.
        folding: of every node; None for the plain one.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_graph(graph, folder)
    inputs = frames(graph, golden)
    planned = design(graph, folding, axi_bits)
    outputs = FastSimulator(graph).run(inputs)
    write_hls(planned, folder / "hls", load_board("ultra96"), inputs, outputs, allow_unverified_modes=True)
    return folder


def random_folding(graph: Graph, choose: Choices) -> dict[str, Fold]:
    """Any fold of every node."""
    return {node.name: choose.pick(list(choices(graph, node))) for node in graph.nodes}
