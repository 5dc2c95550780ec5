"""Writes the HLS project of a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qfx.errors import ExportError
from qfx.export.hls.board import load_board
from qfx.export.hls.emit import design, render
from qfx.fixed import IntArray
from qfx.ir import Graph, Value

GOLDEN_FRAMES = 16
"""Golden frames that the testbench runs at most: co-simulation is slow."""


def write_hls(
    graph: Graph,
    directory: Path,
    board: str = "ultra96",
    golden_inputs: IntArray | None = None,
    golden_outputs: IntArray | None = None,
    clock_ns: float | None = None,
) -> list[Path]:
    """Write the C++ of `graph`, its testbench with golden vectors, and scripts for the vendor's tools.

    Args:
        graph: a verified graph with one input and one output.
        directory: the folder to write into (a project's `hls/`); made if it is missing.
        board: a folder name in `boards/`.
        golden_inputs: codes (frames, *input shape) for the testbench, at least one frame; the first 16 are used.
        golden_outputs: codes (frames, *output shape) that the testbench expects.
        clock_ns: clock period; None for the board's.

    Returns:
        the files written, relative to `directory`.

    Raises:
        ExportError: an op, a shape or a format that has no C++; golden vectors that do not fit.
    """
    facts = load_board(board)
    plan = design(graph)
    vectors = {
        "input": _golden(graph.values[graph.inputs[0]], golden_inputs, "inputs"),
        "output": _golden(graph.values[graph.outputs[0]], golden_outputs, "outputs"),
    }
    frames = {len(codes) for codes in vectors.values()}
    if len(frames) != 1:
        raise ExportError(f"golden inputs have {len(vectors['input'])} frames, golden outputs {len(vectors['output'])}")
    files = render(plan, facts, clock_ns or facts.clock_ns, frames.pop())
    for name, codes in vectors.items():
        files[f"data/{name}.dat"] = "".join(f"{code}\n" for code in _beats(codes).tolist())
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [Path(name) for name in files]


def _golden(value: Value, codes: IntArray | None, what: str) -> IntArray:
    if codes is None or not len(codes):
        raise ExportError(f"the testbench wants golden {what}: codes of {value.name!r}, at least one frame")
    if codes.shape[1:] != value.shape:
        raise ExportError(
            f"golden {what} have shape {codes.shape}; {value.name!r} wants (frames, {', '.join(map(str, value.shape))})"
        )
    return codes[:GOLDEN_FRAMES]


def _beats(codes: IntArray) -> IntArray:
    """Codes in the order of the AXI stream: (frame, row, column, channel)."""
    ordered: IntArray = np.moveaxis(codes, 1, -1)
    return ordered.ravel()
