"""torch as it was at export: the values that a project recorded, played back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qfx.arrays import read_npz
from qfx.engines.protocol import Engine, Values
from qfx.errors import InputError, ProjectError, ToolMissingError
from qfx.files import File
from qfx.fixed import IntArray, code_dtype
from qfx.ir import Graph
from qfx.sim.engine import Codes, by_input, check_inputs


class RecordedTorch:
    """Gives the recorded torch value of every recorded input.

    Args:
        graph: the network.
        file: `golden/torch.npz`.
        inputs: the recorded input codes (samples, *shape), by input name if there are several, in the order of the
            recorded values.

    Raises:
        ProjectError: the file cannot be read, or lacks a value of the graph or has another shape.
    """

    name = "torch"

    def __init__(self, graph: Graph, file: File, inputs: Codes) -> None:
        self._graph = graph
        keys = self._keys(inputs)
        self._values = _load(graph, file, len(keys))
        self._rows = {key: row for row, key in enumerate(keys)}

    def has(self, inputs: Codes) -> bool:
        """Whether the values of all these samples are recorded."""
        return all(key in self._rows for key in self._keys(inputs))

    def _keys(self, inputs: Codes) -> list[bytes]:
        """The codes of all inputs, sample by sample."""
        codes = by_input(self._graph, inputs)
        arrays = [codes[name].astype(np.int64) for name in self._graph.inputs]
        return [b"".join(sample.tobytes() for sample in samples) for samples in zip(*arrays, strict=True)]

    def run(self, inputs: dict[str, IntArray]) -> Values:
        """The recorded values of these samples.

        Raises:
            ToolMissingError: a sample that is not among the recorded ones.
        """
        codes = {name: inputs[name].astype(np.int64) for name in self._graph.inputs}
        if not self.has(codes):
            raise ToolMissingError("torch values are recorded for the project's own inputs only; give the model to run it live")
        rows = [self._rows[key] for key in self._keys(codes)]
        return codes | {name: array[rows] for name, array in self._values.items()}


def record(graph: Graph, engine: Engine, inputs: Codes, chunk: int, file: File) -> None:
    """Run `engine` on input codes (samples, *shape), by name if there are several inputs, `chunk` samples at a time, and write
    every value to `file`.

    Values that are codes of their format are written in the narrowest integer dtype, all others as float64.
    """
    parts: dict[str, list[npt.NDArray[np.generic]]] = {node.name: [] for node in graph.nodes}
    codes = check_inputs(graph, by_input(graph, inputs))
    for start in range(0, len(codes[graph.inputs[0]]), chunk):
        values = engine.run({name: array[start : start + chunk] for name, array in codes.items()})
        for node in graph.nodes:
            parts[node.name].append(_narrow(graph, node.name, values[node.name]))
    # Positional names: a value name is free text, an archive member is a file name.
    arrays: dict[str, Any] = {f"value_{index}": np.concatenate(items) for index, items in enumerate(parts.values())}
    np.savez_compressed(Path(file), **arrays)


def _narrow(graph: Graph, name: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    type = graph.values[name].type
    real = values.astype(np.float64)
    whole = np.isfinite(real) & (np.floor(real) == real) & (real >= type.min_int) & (real <= type.max_int)
    return values.astype(code_dtype(type)) if bool(whole.all()) else real


def _load(graph: Graph, file: File, samples: int) -> dict[str, npt.NDArray[np.generic]]:
    try:
        arrays = read_npz(file)
        values = {node.name: arrays[f"value_{index}"] for index, node in enumerate(graph.nodes)}
    except InputError as error:
        raise ProjectError(f"{error}; export the project again") from error
    except KeyError as error:
        raise ProjectError(f"{file} has no array {error}; export the project again") from error
    for name, array in values.items():
        wanted = (samples, *graph.values[name].shape)
        if array.shape != wanted:
            raise ProjectError(f"{file}: value {name!r} has shape {array.shape}, wanted {wanted}; export the project again")
    return values
