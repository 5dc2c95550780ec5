"""`folding.json` of a project: how parallel every stage of its C++ is, and the bits of a beat of its AXI streams."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from qfx.errors import ProjectError
from qfx.export.hls.folding import Fold, Folding
from qfx.files import File
from qfx.records import read_record

NAME = "folding.json"
FORMAT = 1


def folding_text(folding: Folding, axi_bits: int) -> str:
    """The file's content."""
    nodes = {name: asdict(fold) for name, fold in folding.items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(fold)}" for name, fold in nodes.items())
    return f'{{\n "format": {FORMAT},\n "axi_bits": {axi_bits},\n "nodes": {{\n{lines}\n }}\n}}\n'


@dataclass(frozen=True)
class _File:
    axi_bits: int
    nodes: dict[str, Fold]


def read_folding(folder: File) -> tuple[dict[str, Fold], int]:
    """The folding of the project whose `hls/` is `folder`, and the bits of a beat of its AXI streams.

    Raises:
        ProjectError: no file, no JSON, another version, or an entry that is no fold; names the file and the entry.
    """
    file = Path(folder, NAME)
    found = read_record(file, _File, FORMAT)
    for name, fold in found.nodes.items():
        counts = (*fold.reads, fold.writes, fold.taps)
        if not fold.reads or min(counts) < 1:
            raise ProjectError(
                f"{file}: the entry of {name!r} is {json.dumps(asdict(fold))}; it wants reads (a list of counts), writes and taps"
                " (counts) of at least 1"
            )
    return found.nodes, found.axi_bits
