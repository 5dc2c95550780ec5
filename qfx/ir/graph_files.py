"""Graphs on disk: `graph.json` for the structure, `graph.npz` for the constants. No pickle, ever."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from qfx import arguments
from qfx.annotations import explained
from qfx.array_files import read_npz
from qfx.errors import GraphError, InputError, ProjectError, QfxError
from qfx.files import new_file
from qfx.fixed import FixedType, IntArray, Overflow, Rounding
from qfx.ir.graph import Graph, Node
from qfx.ir.host_step import HostStep
from qfx.ir.value import Value
from qfx.records import read_json, record_of, write_json

VERSION = 1
"""Version of the file format; raised when a reader of the old one would misread the new one."""


@explained
def save_graph(graph: Graph, folder: Path | str) -> tuple[Path, Path]:
    """Write `graph.json` and `graph.npz` into `folder`, each complete or not at all; returns their paths.

    Raises:
        InputError: no path.
        WriteError: they cannot be written.
    """
    folder = arguments.path("the folder", folder)
    json_path, npz_path = folder / "graph.json", folder / "graph.npz"
    constants = {value.name: value.codes for value in graph.values.values() if value.constant is not None}
    document = {
        "version": VERSION,
        "name": graph.name,
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "values": [
            {"name": v.name, "type": dataclasses.asdict(v.type), "shape": v.shape, "constant": v.constant is not None}
            for v in graph.values.values()
        ],
        "nodes": [
            {
                "name": node.name,
                "kind": node.op.kind,
                "attributes": {key: _encode(item) for key, item in node.op.attributes().items()},
                "inputs": node.inputs,
                "source": node.source.encode("utf-8", "replace").decode(),  # a path may have bytes that are no text
            }
            for node in graph.nodes
        ],
        **({"host": [step.document() for step in graph.host]} if graph.host else {}),
    }
    write_json(json_path, document)
    # Positional names: a value name is free text, an archive member is a file name.
    arrays: dict[str, Any] = {f"constant_{index}": _narrow(codes) for index, codes in enumerate(constants.values())}
    with new_file(npz_path) as stream:
        np.savez_compressed(stream, **arrays)
    return json_path, npz_path


def _narrow(codes: IntArray) -> npt.NDArray[np.signedinteger[Any]]:
    """The same codes in the narrowest signed dtype: of 4 million weights of 4 bits a seventh of the time to compress them."""
    least, most = (int(codes.min()), int(codes.max())) if codes.size else (0, 0)
    return codes.astype(next(f"int{bits}" for bits in (8, 16, 32, 64) if -(1 << bits - 1) <= least and most < 1 << bits - 1))


@dataclass(frozen=True)
class _ValueEntry:
    name: str
    type: FixedType
    shape: tuple[int, ...]
    constant: bool


@dataclass(frozen=True)
class _NodeEntry:
    name: str
    kind: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class _GraphFile:
    """The JSON."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: tuple[_ValueEntry, ...]
    nodes: tuple[_NodeEntry, ...]
    host: tuple[HostStep, ...] = ()


@explained
def load_graph(folder: Path | str) -> Graph:
    """Read and verify the graph that `save_graph` wrote into `folder`.

    Raises:
        GraphError: a file is missing, truncated, of another version, or describes no valid graph.
    """
    folder = arguments.path("the folder", folder)
    json_path, npz_path = folder / "graph.json", folder / "graph.npz"
    for path in (json_path, npz_path):
        if not path.is_file():
            raise GraphError(f"no graph in {folder}: {path.name} is missing; export the project again")
    try:
        document = read_json(json_path)
        if (version := document.get("version")) != VERSION:
            raise GraphError(f"{json_path} has format version {reprlib.repr(version)}, this QFX reads version {VERSION}")
        graph = _decode_graph(record_of(document, _GraphFile, json_path), read_npz(npz_path))
        return graph.verify(f"loading {folder}")
    except (ProjectError, InputError) as error:
        raise GraphError(f"{folder} holds no readable graph: {error}") from error
    except MemoryError as error:
        raise GraphError(f"the graph in {folder} needs more memory than there is; export the project again") from error


def _decode_graph(file: _GraphFile, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Graph:
    graph = Graph(file.name, inputs=[*file.inputs], outputs=[*file.outputs], host=[*file.host])
    constants = 0
    for item in file.values:
        codes = None
        if item.constant:
            codes = _constant(item.name, arrays.get(f"constant_{constants}"))
            constants += 1
        if item.name in graph.values:
            raise GraphError(f"value {item.name!r} is there twice")
        graph.values[item.name] = Value(item.name, item.type, item.shape, codes)
    graph.nodes = [_decode_node(item) for item in file.nodes]
    return graph


def _constant(name: str, array: npt.NDArray[np.generic] | None) -> IntArray:
    if array is None or not np.can_cast(array.dtype, np.int64, "safe"):
        found = "no array" if array is None else f"an array of {array.dtype}"
        raise GraphError(f"constant {name!r} has {found} in graph.npz; export the project again")
    return array.astype(np.int64)


def _decode_node(item: _NodeEntry) -> Node:
    from qfx.ops import OPS  # ops import values from this package

    if item.kind not in OPS:
        raise GraphError(f"node {item.name!r} is of unknown kind {item.kind!r}; known are {', '.join(sorted(OPS))}")
    try:
        op = OPS[item.kind](**{key: _decode(value) for key, value in item.attributes.items()})
    except (QfxError, TypeError, ValueError, LookupError) as error:
        raise GraphError(f"the attributes of node {item.name!r} make no {item.kind}: {error}; export the project again") from error
    return Node(item.name, op, item.inputs, item.source)


def _encode(item: object) -> object:
    """Attribute values as JSON: formats and modes as one-key objects, pairs as lists."""
    if isinstance(item, FixedType):
        return {"fixed": dataclasses.asdict(item)}
    if isinstance(item, Rounding):
        return {"rounding": item.value}
    if isinstance(item, Overflow):
        return {"overflow": item.value}
    return item


def _decode(item: object) -> object:
    if isinstance(item, list):
        return tuple(cast("list[object]", item))
    if isinstance(item, dict):
        ((tag, content),) = cast("dict[str, Any]", item).items()
        return _DECODERS[tag](content)
    return item


def _decode_type(fields: Any) -> FixedType:
    return record_of(fields, FixedType, "format")


_DECODERS: dict[str, Callable[[Any], object]] = {"fixed": _decode_type, "rounding": Rounding, "overflow": Overflow}
