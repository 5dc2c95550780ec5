"""torch as it was at export: the values that a project recorded, played back."""

from __future__ import annotations

import itertools
import re
import zipfile

import numpy as np
import numpy.typing as npt

from qfx.arrays import read_npz
from qfx.engines.protocol import WHOLE, Engine, Extent, Values
from qfx.errors import InputError, ProjectError, ToolMissingError
from qfx.files import File
from qfx.fixed import IntArray, code_dtype
from qfx.ir import Graph
from qfx.progress import Progress, silent
from qfx.sim.engine import Codes, by_input, check_inputs

LEVEL = 1
"""Of deflate. Of 210 MB, all values of ResNet-20 on 100 images, it makes 101 MB in 2.9 s; zlib's own level, 6, 96 MB in 19.8 s."""


class RecordedTorch:
    """Gives the recorded torch value of every recorded input.

    Args:
        graph: the network.
        file: `golden/torch.npz`.
        inputs: the recorded input codes (samples, *shape), by input name if there are several, in the order of the
            recorded values.
        extent: of which layers and samples values are recorded.

    Raises:
        ProjectError: the file cannot be read, or lacks a value of the graph or has another shape.
    """

    name = "torch"

    def __init__(self, graph: Graph, file: File, inputs: Codes, extent: Extent = WHOLE) -> None:
        self._graph = graph
        keys = self._keys(inputs)[: extent.samples]
        self._values = _load(graph, file, len(keys), extent)
        self._rows = {key: row for row, key in enumerate(keys)}

    def has(self, inputs: Codes) -> bool:
        """Whether the values of all these samples are recorded."""
        return self.leading(inputs) == len(next(iter(by_input(self._graph, inputs).values())))

    def leading(self, inputs: Codes) -> int:
        """How many of these samples, from the first on, have recorded values."""
        return sum(1 for _ in itertools.takewhile(self._rows.__contains__, self._keys(inputs)))

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


def extent_of(record: str | int) -> Extent:
    """What `all`, `outputs` or a number of samples, which may be text, asks to record.

    Raises:
        InputError: anything else.
    """
    words = {"all": WHOLE, "outputs": Extent(outputs_only=True)}
    if isinstance(record, str) and record in words:
        return words[record]
    text = str(record)
    if isinstance(record, bool) or not re.fullmatch("[1-9][0-9]{0,17}", text):
        raise InputError(f"what is recorded is `all`, `outputs` or a number of samples from 1 on, not {record!r}")
    return Extent(samples=int(text))


def record(
    graph: Graph, engine: Engine, inputs: Codes, chunk: int, file: File, extent: Extent = WHOLE, progress: Progress = silent
) -> None:
    """Run `engine` on input codes (samples, *shape), by name if there are several inputs, `chunk` samples at a time, and write
    the values of `extent` to `file`.

    Values that are codes of their format are written in the narrowest integer dtype, all others as float64.
    """
    parts: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in _names(graph, extent).values()}
    given = {name: array[: extent.samples] for name, array in by_input(graph, inputs).items()}
    codes = check_inputs(graph, given)
    count = len(codes[graph.inputs[0]])
    for start in range(0, count, chunk):
        progress(f"record the values of {engine.name}", start, count)
        values = engine.run({name: array[start : start + chunk] for name, array in codes.items()})
        for name, kept in parts.items():
            kept.append(_narrow(graph, name, values[name]))
    progress(f"record the values of {engine.name}", count, count)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for done, (member_name, name) in enumerate(_names(graph, extent).items()):
            progress("compress the recorded values, layer by layer", done, len(parts))
            with archive.open(f"{member_name}.npy", "w", force_zip64=True) as member:
                np.save(member, np.concatenate(parts[name]), allow_pickle=False)
    progress("compress the recorded values, layer by layer", len(parts), len(parts))


def _narrow(graph: Graph, name: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    type = graph.values[name].type
    real = values.astype(np.float64)
    whole = np.isfinite(real) & (np.floor(real) == real) & (real >= type.min_int) & (real <= type.max_int)
    return values.astype(code_dtype(type)) if bool(whole.all()) else real


def _names(graph: Graph, extent: Extent) -> dict[str, str]:
    """Archive member -> node. Members count the nodes: a value name is free text, a member is a file name."""
    nodes = enumerate(graph.nodes)
    return {f"value_{index}": node.name for index, node in nodes if not extent.outputs_only or node.name in graph.outputs}


def _load(graph: Graph, file: File, samples: int, extent: Extent) -> dict[str, npt.NDArray[np.generic]]:
    try:
        arrays = read_npz(file)
        values = {name: arrays[member] for member, name in _names(graph, extent).items()}
    except InputError as error:
        raise ProjectError(f"{error}; export the project again") from error
    except KeyError as error:
        raise ProjectError(f"{file} has no array {error}; export the project again") from error
    for name, array in values.items():
        wanted = (samples, *graph.values[name].shape)
        if array.shape != wanted:
            raise ProjectError(f"{file}: value {name!r} has shape {array.shape}, wanted {wanted}; export the project again")
    return values
