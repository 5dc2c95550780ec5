"""Graphs on disk: `graph.json` for the structure, `graph.npz` for the constants. No pickle, ever."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from qfx.errors import GraphError, QfxError
from qfx.fixed import FixedType, IntArray, Overflow, Rounding
from qfx.ir.graph import Graph, Node
from qfx.ir.host_step import HostStep
from qfx.ir.value import Value

VERSION = 1
"""Version of the file format; raised when a reader of the old one would misread the new one."""


def save_graph(graph: Graph, folder: Path | str) -> tuple[Path, Path]:
    """Write `graph.json` and `graph.npz` into `folder`; returns their paths."""
    json_path, npz_path = Path(folder, "graph.json"), Path(folder, "graph.npz")
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
                "source": node.source,
            }
            for node in graph.nodes
        ],
        **({"host": [step.document() for step in graph.host]} if graph.host else {}),
    }
    json_path.write_text(json.dumps(document, indent=1) + "\n")
    # Positional names: a value name is free text, an archive member is a file name.
    arrays: dict[str, Any] = {f"constant_{index}": _narrow(codes) for index, codes in enumerate(constants.values())}
    np.savez_compressed(npz_path, **arrays)
    return json_path, npz_path


def _narrow(codes: IntArray) -> npt.NDArray[np.signedinteger[Any]]:
    """The same codes in the narrowest signed dtype: of 4 million weights of 4 bits a seventh of the time to compress them."""
    least, most = (int(codes.min()), int(codes.max())) if codes.size else (0, 0)
    return codes.astype(next(f"int{bits}" for bits in (8, 16, 32, 64) if -(1 << bits - 1) <= least and most < 1 << bits - 1))


def load_graph(folder: Path | str) -> Graph:
    """Read and verify the graph that `save_graph` wrote into `folder`.

    Raises:
        GraphError: a file is missing, truncated, of another version, or describes no valid graph.
    """
    json_path, npz_path = Path(folder, "graph.json"), Path(folder, "graph.npz")
    for path in (json_path, npz_path):
        if not path.is_file():
            raise GraphError(f"no graph in {folder}: {path.name} is missing; export the project again")
    try:
        document = json.loads(json_path.read_text())
        if document["version"] != VERSION:
            raise GraphError(f"{json_path} has format version {document['version']}, this QFX reads version {VERSION}")
        graph = _decode_graph(document, npz_path)
    except QfxError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise GraphError(f"{folder} holds no readable graph ({type(error).__name__}: {error}); export the project again") from error
    return graph.verify(f"loading {folder}")


def _decode_graph(document: dict[str, Any], npz_path: Path) -> Graph:
    graph = Graph(str(document["name"]), inputs=list(document["inputs"]), outputs=list(document["outputs"]))
    constants = 0
    with npz_path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        for item in document["values"]:
            codes = None
            if item["constant"]:
                codes = arrays[f"constant_{constants}"].astype(np.int64, casting="safe")
                constants += 1
            graph.values[item["name"]] = Value(item["name"], _decode_type(item["type"]), tuple(item["shape"]), codes)
    graph.nodes = [_decode_node(item) for item in document["nodes"]]
    graph.host = [HostStep(**item) for item in document.get("host", [])]
    return graph


def _decode_node(item: dict[str, Any]) -> Node:
    from qfx.ops import OPS  # ops import values from this package

    if item["kind"] not in OPS:
        raise GraphError(f"node {item['name']!r} is of unknown kind {item['kind']!r}; known are {', '.join(sorted(OPS))}")
    attributes = {key: _decode(value) for key, value in item["attributes"].items()}
    op = OPS[item["kind"]](**attributes)
    return Node(item["name"], op, tuple(item["inputs"]), item["source"])


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
    return FixedType(bool(fields["signed"]), int(fields["width"]), int(fields["frac"]))


_DECODERS: dict[str, Callable[[Any], object]] = {"fixed": _decode_type, "rounding": Rounding, "overflow": Overflow}
