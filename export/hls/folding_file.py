"""`folding.json` of a project: how parallel every stage of its C++ is, and the bits of a beat of its AXI streams."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from qfx.errors import ProjectError
from qfx.export.hls.folding import PRODUCT_TEXTS, Fold, Folding

NAME = "folding.json"
FORMAT = 1
KINDS = ("", *PRODUCT_TEXTS)
STORAGES = ("", "lut", "bram")


def folding_text(folding: Folding, axi_bits: int) -> str:
    """The file's content."""
    nodes = {name: asdict(fold) for name, fold in folding.items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(fold)}" for name, fold in nodes.items())
    return f'{{\n "format": {FORMAT},\n "axi_bits": {axi_bits},\n "nodes": {{\n{lines}\n }}\n}}\n'


def read_folding(folder: Path) -> tuple[dict[str, Fold], int]:
    """The folding of the project whose `hls/` is `folder`, and the bits of a beat of its AXI streams.

    Raises:
        ProjectError: no file, no JSON, another version, or an entry that is no fold; names the file and the entry.
    """
    file = folder / NAME
    try:
        data: Any = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProjectError(f"{file} is missing; the project is incomplete, export it again") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ProjectError(f"{file} is no JSON: {error}; export the project again") from error
    axi_bits = cast("dict[str, object]", data).get("axi_bits") if isinstance(data, dict) else None
    if not isinstance(axi_bits, int) or data.get("format") != FORMAT:
        raise ProjectError(f"{file} is no folding of version {FORMAT}; export the project again")
    nodes = cast("dict[str, object]", data["nodes"]) if isinstance(data.get("nodes"), dict) else {}
    return {name: _fold(file, name, entry) for name, entry in nodes.items()}, axi_bits


def _fold(file: Path, name: str, entry: object) -> Fold:
    fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
    reads: Any = fields.get("reads")
    product: Any = fields.get("product")
    storage: Any = fields.get("storage")
    counts: list[Any] = [*reads, fields.get("writes"), fields.get("taps")] if isinstance(reads, list) else []
    if (
        len(counts) < 3
        or not all(type(count) is int and count > 0 for count in counts)
        or product not in KINDS
        or storage not in STORAGES
    ):
        raise ProjectError(
            f"{file}: the entry of {name!r} is {json.dumps(entry)}; it wants reads (a list of counts), writes and taps (counts),"
            f" product (one of {', '.join(map(repr, KINDS))}) and storage (one of {', '.join(map(repr, STORAGES))})"
        )
    return Fold(tuple(counts[:-2]), counts[-2], counts[-1], product, storage)
