"""torch as it was at export: the values that a project recorded, played back."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qfx.errors import EngineUnavailable, ProjectError
from qfx.fixed import IntArray
from qfx.golden import code_dtype
from qfx.ir import Graph
from qfx.verify.engine import Engine, Values


class RecordedTorch:
    """Gives the recorded torch value of every recorded input.

    Args:
        graph: the network.
        file: `golden/torch.npz`.
        inputs: the recorded input codes (samples, *shape), in the order of the recorded values.

    Raises:
        ProjectError: the file cannot be read, or lacks a value of the graph or has another shape.
    """

    name = "torch"

    def __init__(self, graph: Graph, file: Path, inputs: npt.NDArray[np.integer]) -> None:
        self._input = graph.inputs[0]
        self._values = _load(graph, file, len(inputs))
        self._rows = {_key(sample): row for row, sample in enumerate(inputs.astype(np.int64))}

    def has(self, inputs: IntArray) -> bool:
        """Whether the values of all these samples are recorded."""
        return all(_key(sample) in self._rows for sample in inputs)

    def run(self, inputs: dict[str, IntArray]) -> Values:
        """The recorded values of these samples.

        Raises:
            EngineUnavailable: a sample that is not among the recorded ones.
        """
        codes = inputs[self._input].astype(np.int64)
        if not self.has(codes):
            raise EngineUnavailable("torch values are recorded for the project's own inputs only; give the model to run it live")
        rows = [self._rows[_key(sample)] for sample in codes]
        return {self._input: codes} | {name: array[rows] for name, array in self._values.items()}


def record(graph: Graph, engine: Engine, inputs: IntArray, chunk: int, file: Path) -> None:
    """Run `engine` on input codes (samples, *shape), `chunk` samples at a time, and write every value to `file`.

    Values that are codes of their format are written in the narrowest integer dtype, all others as float64.
    """
    parts: dict[str, list[npt.NDArray[np.generic]]] = {node.name: [] for node in graph.nodes}
    for start in range(0, len(inputs), chunk):
        values = engine.run({graph.inputs[0]: inputs[start : start + chunk]})
        for node in graph.nodes:
            parts[node.name].append(_narrow(graph, node.name, values[node.name]))
    # Positional names: a value name is free text, an archive member is a file name.
    arrays: dict[str, Any] = {f"value_{index}": np.concatenate(items) for index, items in enumerate(parts.values())}
    np.savez_compressed(file, **arrays)


def _narrow(graph: Graph, name: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    type = graph.values[name].type
    real = values.astype(np.float64)
    whole = np.isfinite(real) & (np.floor(real) == real) & (real >= type.min_int) & (real <= type.max_int)
    return values.astype(code_dtype(type)) if bool(whole.all()) else real


def _load(graph: Graph, file: Path, samples: int) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            values = {node.name: archive[f"value_{index}"] for index, node in enumerate(graph.nodes)}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ProjectError(f"{file} cannot be read: {error}; export the project again") from error
    for name, array in values.items():
        wanted = (samples, *graph.values[name].shape)
        if array.shape != wanted:
            raise ProjectError(f"{file}: value {name!r} has shape {array.shape}, wanted {wanted}; export the project again")
    return values


def _key(sample: npt.NDArray[np.int64]) -> bytes:
    return sample.tobytes()
