"""Writes the HLS project of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qfx.errors import ExportError
from qfx.export.hls.board import load_board
from qfx.export.hls.design import design
from qfx.export.hls.folding import Folding
from qfx.export.hls.modes import check_modes
from qfx.export.hls.render import render
from qfx.export.hls.words import Port
from qfx.fixed import IntArray
from qfx.ir import Graph

GOLDEN_FRAMES = 16
"""Golden frames that the testbench runs at most: co-simulation is slow."""


def write_hls(
    graph: Graph,
    directory: Path,
    board: str = "ultra96",
    golden_inputs: IntArray | Mapping[str, IntArray] | None = None,
    golden_outputs: IntArray | Mapping[str, IntArray] | None = None,
    clock_ns: float | None = None,
    folding: Folding | None = None,
    axi_bits: int = 64,
    allow_unverified_modes: bool = False,
) -> list[Path]:
    """Write the C++ of `graph`, its testbench with golden vectors, and scripts for the vendor's tools.

    Args:
        graph: a verified graph.
        directory: the folder to write into (a project's `hls/`); made if it is missing.
        board: a folder name in `boards/`.
        golden_inputs: codes (frames, *input shape) for the testbench, at least one frame; the first 16 are used. By name
            if there are several inputs.
        golden_outputs: codes (frames, *output shape) that the testbench expects; by name if there are several outputs.
        clock_ns: clock period; None for the board's.
        folding: the parallelism of every node; None for `plain_folding`.
        axi_bits: of a beat of the AXI streams: 32, 64 or 128.
        allow_unverified_modes: take casts in modes other than AP_TRN, AP_RND and AP_RND_CONV with AP_WRAP and AP_SAT.

    Returns:
        the files written, relative to `directory`.

    Raises:
        ExportError: an op, a shape, a format or a mode that has no C++; golden vectors that do not fit.
    """
    facts = load_board(board)
    check_modes(graph, allow_unverified_modes)
    plan = design(graph, folding, axi_bits)
    inputs = [_golden(port, golden_inputs, "inputs", len(plan.inputs)) for port in plan.inputs]
    outputs = [_golden(port, golden_outputs, "outputs", len(plan.outputs)) for port in plan.outputs]
    frames = {len(codes) for codes in (*inputs, *outputs)}
    if len(frames) != 1:
        raise ExportError(f"golden inputs have {_frames(inputs)} frames, golden outputs {_frames(outputs)}")
    files = render(plan, facts, clock_ns or facts.clock_ns, frames.pop())
    for port, codes in zip((*plan.inputs, *plan.outputs), (*inputs, *outputs), strict=True):
        files[f"data/{port.data}.dat"] = "".join(f"{code}\n" for code in _beats(codes).tolist())
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [Path(name) for name in files]


def _golden(port: Port, given: IntArray | Mapping[str, IntArray] | None, what: str, ports: int) -> IntArray:
    value = port.wire.value
    if isinstance(given, np.ndarray) and ports > 1:
        raise ExportError(f"the network has {ports} {what}; give the golden {what} of each by its name")
    codes = given.get(value.name) if isinstance(given, Mapping) else given
    if codes is None or not len(codes):
        raise ExportError(f"the testbench wants golden {what}: codes of {value.name!r}, at least one frame")
    if codes.shape[1:] != value.shape:
        raise ExportError(
            f"golden {what} have shape {codes.shape}; {value.name!r} wants (frames, {', '.join(map(str, value.shape))})"
        )
    return codes[:GOLDEN_FRAMES]


def _frames(arrays: Sequence[IntArray]) -> str:
    return " and ".join(map(str, dict.fromkeys(map(len, arrays))))


def _beats(codes: IntArray) -> IntArray:
    """Codes in the order of the AXI stream: (frame, row, column, channel)."""
    ordered: IntArray = np.moveaxis(codes, 1, -1)
    return ordered.ravel()
