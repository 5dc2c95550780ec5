"""`manifest.json`: what a project directory states about itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from qfx.errors import ProjectError

MANIFEST = "manifest.json"
FORMAT = 1
"""Version of the project format; raised when a reader of the old one would misread the new one."""


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
        host: what is left to the host: name of a result -> the step, such as `softmax(axis=0) of fc`.
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
    model: str | None = None
    host: dict[str, str] = field(default_factory=dict[str, str])
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into `folder`."""
        (folder / MANIFEST).write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def _is_text(item: object) -> bool:
    return isinstance(item, str)


def _is_list(item: object) -> bool:
    return isinstance(item, list) and all(isinstance(entry, str) for entry in cast("list[object]", item))


def _is_table(item: object) -> bool:
    return isinstance(item, dict) and all(isinstance(entry, str) for entry in cast("dict[object, object]", item).values())


_KINDS: dict[str, Callable[[object], bool]] = {
    "name": _is_text,
    "qfx_version": _is_text,
    "engines": _is_list,
    "inputs": _is_table,
    "outputs": _is_table,
    "files": _is_table,
    "board": _is_text,
    "part": _is_text,
    "clock_ns": lambda item: isinstance(item, (int, float)),
    "created_by": _is_table,
    "model": lambda item: item is None or isinstance(item, str),
    "host": _is_table,
}
"""What every field but `format` must be."""


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the project in `folder`.

    Raises:
        ProjectError: it is missing, no JSON, of another version, or a field is missing or of the wrong kind.
    """
    file = folder / MANIFEST
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProjectError(f"{folder} has no {MANIFEST}; it is no QFX project") from error
    except (OSError, ValueError) as error:
        raise ProjectError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise ProjectError(f"{file} does not hold a JSON object; it is no QFX project")
    fields = cast("dict[str, Any]", document)
    if fields.get("format") != FORMAT:
        raise ProjectError(
            f"{file} has format {fields.get('format')!r}; this QFX reads format {FORMAT}. Export the project again, or use the QFX"
            f" that wrote it ({fields.get('qfx_version', 'unknown')})"
        )
    fields.setdefault("host", {})  # older projects leave nothing to the host
    for name, fits in _KINDS.items():
        if name not in fields or not fits(fields[name]):
            raise ProjectError(f"{file}: field {name!r} is missing or of the wrong kind; the project was altered, export it again")
    picked: dict[str, Any] = {name: fields[name] for name in _KINDS}
    picked["engines"] = tuple(picked["engines"])
    return Manifest(**picked)
