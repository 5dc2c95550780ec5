"""torch as it was at export: the values that a project recorded, played back."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qfx.engines.protocol import Engine, Values
from qfx.errors import ProjectError, ToolMissingError
from qfx.files import File
from qfx.fixed import IntArray, code_dtype
from qfx.ir import Graph
from qfx.progress import Progress, silent
from qfx.sim.engine import Codes, by_input, check_inputs

LEVEL = 1
"""Of deflate. Of 210 MB, all values of a ResNet-20 on 100 images, it makes 101 MB in 2.9 s; zlib's own level, 6, 96 MB in 19.8 s."""


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


def record(graph: Graph, engine: Engine, inputs: Codes, chunk: int, file: File, progress: Progress = silent) -> None:
    """Run `engine` on input codes (samples, *shape), by name if there are several inputs, `chunk` samples at a time, and write
    every value to `file`.

    Values that are codes of their format are written in the narrowest integer dtype, all others as float64.
    """
    parts: dict[str, list[npt.NDArray[np.generic]]] = {node.name: [] for node in graph.nodes}
    codes = check_inputs(graph, by_input(graph, inputs))
    count = len(codes[graph.inputs[0]])
    for start in range(0, count, chunk):
        progress(f"record the values of {engine.name}", start, count)
        values = engine.run({name: array[start : start + chunk] for name, array in codes.items()})
        for node in graph.nodes:
            parts[node.name].append(_narrow(graph, node.name, values[node.name]))
    progress(f"record the values of {engine.name}", count, count)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for index, items in enumerate(parts.values()):
            progress("compress the recorded values, layer by layer", index, len(parts))
            # Positional names: a value name is free text, an archive member is a file name.
            with archive.open(f"value_{index}.npy", "w", force_zip64=True) as member:
                np.save(member, np.concatenate(items), allow_pickle=False)
    progress("compress the recorded values, layer by layer", len(parts), len(parts))


def _narrow(graph: Graph, name: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    type = graph.values[name].type
    real = values.astype(np.float64)
    whole = np.isfinite(real) & (np.floor(real) == real) & (real >= type.min_int) & (real <= type.max_int)
    return values.astype(code_dtype(type)) if bool(whole.all()) else real


def _load(graph: Graph, file: File, samples: int) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with Path(file).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            values = {node.name: archive[f"value_{index}"] for index, node in enumerate(graph.nodes)}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ProjectError(f"{file} cannot be read: {error}; export the project again") from error
    for name, array in values.items():
        wanted = (samples, *graph.values[name].shape)
        if array.shape != wanted:
            raise ProjectError(f"{file}: value {name!r} has shape {array.shape}, wanted {wanted}; export the project again")
    return values
