"""`manifest.json`: what a project directory states about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qfx.engines.protocol import WHOLE, Extent
from qfx.errors import ProjectError
from qfx.files import File
from qfx.records import read_record, write_record

MANIFEST = "manifest.json"
FORMAT = 1
"""Version of the project format; raised when a reader of the old one would misread the new one."""

SLOWEST_NS = 1e9
"""The longest period of a clock that is taken for one."""


@dataclass(frozen=True)
class Manifest:
    """What a project is.

    Attributes:
        name: of the network.
        qfx_version: that wrote it.
        engines: that its values can be compared in, the reference first.
        inputs, outputs: value name -> C++ name of its format.
        files: relative path -> sha256.
        board, part, clock_ns: what the C++ was written for.
        created_by: versions of the tools.
        model: `module:factory` of the torch model; None if it was not exported from one.
        recorded: what `golden/torch.npz` holds, if it is there; older projects lack the entry and hold everything.
        host: post-processing on the CPU: name of a result -> the step, such as `softmax(axis=0) of fc`; older projects lack it.
        format: version of this file.
    """

    name: str
    qfx_version: str
    engines: tuple[str, ...]
    inputs: dict[str, str]
    outputs: dict[str, str]
    files: dict[str, str]
    board: str
    part: str
    clock_ns: float
    created_by: dict[str, str]
    model: str | None
    recorded: Extent = WHOLE
    host: dict[str, str] = field(default_factory=dict[str, str])
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Raises ProjectError for a clock that cannot be."""
        if not 0 < self.clock_ns <= SLOWEST_NS:
            raise ProjectError(f"clock_ns is {self.clock_ns}; the period of a clock lies above 0 and up to {SLOWEST_NS:g} ns")

    def write(self, folder: File) -> None:
        """Write `manifest.json` into `folder`."""
        write_record(Path(folder, MANIFEST), self, indent=2)


def read_manifest(folder: File) -> Manifest:
    """The manifest of the project in `folder`.

    Raises:
        ProjectError: it is missing, no JSON, of another version, or a field is missing or of the wrong kind.
    """
    file = Path(folder, MANIFEST)
    if not file.exists():
        raise ProjectError(f"{folder} has no {MANIFEST}; it is no QFX project")
    return read_record(file, Manifest, FORMAT)
