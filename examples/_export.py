"""What every example ends with: the converted network as a verified project."""

from __future__ import annotations

import sys
from pathlib import Path

from torch import Tensor

from qfx.conversion import Converted
from qfx.project import verify, write_project


def export_and_verify(network: Converted, images: Tensor, name: str, directory: str) -> None:
    """Write a project to the directory that the command line names, or else `directory`, and compare all engines on 20 images."""
    graph = network.lower(images.shape[1:], name=name)
    place = Path(sys.argv[1] if len(sys.argv) > 1 else directory)
    place.parent.mkdir(parents=True, exist_ok=True)
    project = write_project(graph, place, images.numpy(), model=network, overwrite=True)
    report = verify(project, ["torch", "sim", "onnx"], samples=20, model=network)
    print(f"{' = '.join(report.engines)}: {report.values_compared:,} values compared, {report.mismatches} mismatches")
