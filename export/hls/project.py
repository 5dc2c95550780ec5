"""Writes the HLS project of a design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qfx.errors import ExportError
from qfx.export.hls.board import Board
from qfx.export.hls.design import Design
from qfx.export.hls.modes import check_modes
from qfx.export.hls.render import render
from qfx.export.hls.words import Port
from qfx.files import File
from qfx.fixed import IntArray

Golden = IntArray | Mapping[str, IntArray]
"""Codes of the only port, or of each by the name of its value."""

GOLDEN_FRAMES = 16
"""Golden frames that the testbench runs at most: co-simulation is slow."""


def write_hls(
    design: Design,
    directory: File,
    board: Board,
    golden_inputs: Golden,
    golden_outputs: Golden,
    *,
    clock_ns: float | None = None,
    allow_unverified_modes: bool = False,
) -> list[Path]:
    """Write the C++ of a design, its testbench with golden vectors, and scripts for the vendor's tools.

    Args:
        directory: the folder to write into (a project's `hls/`); made if it is missing.
        golden_inputs: codes (frames, *input shape) for the testbench, at least one frame; the first 16 are used. By name
            if there are several inputs.
        golden_outputs: codes (frames, *output shape) that the testbench expects; by name if there are several outputs.
        clock_ns: clock period; None for the board's.
        allow_unverified_modes: take casts in modes other than AP_TRN, AP_RND and AP_RND_CONV with AP_WRAP and AP_SAT.

    Returns:
        the files written, relative to `directory`.

    Raises:
        ExportError: a mode that has not been verified; golden vectors that do not fit.
    """
    check_modes(design.wiring.graph, allow_unverified_modes)
    inputs = [_golden(port, golden_inputs, "inputs", len(design.inputs)) for port in design.inputs]
    outputs = [_golden(port, golden_outputs, "outputs", len(design.outputs)) for port in design.outputs]
    frames = {len(codes) for codes in (*inputs, *outputs)}
    if len(frames) != 1:
        raise ExportError(f"golden inputs have {_frames(inputs)} frames, golden outputs {_frames(outputs)}")
    files = render(design, board, clock_ns or board.clock_ns, frames.pop())
    for port, codes in zip((*design.inputs, *design.outputs), (*inputs, *outputs), strict=True):
        files[f"data/{port.data}.dat"] = "".join(f"{code}\n" for code in _beats(codes).tolist())
    for name, text in files.items():
        path = Path(directory, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [Path(name) for name in files]


def _golden(port: Port, given: Golden, what: str, ports: int) -> IntArray:
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
