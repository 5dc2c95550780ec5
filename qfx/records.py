"""Dataclasses in JSON files.

A record is a frozen dataclass of text, numbers, truth values, literals, tuples and dictionaries of them, and of records. It is
written with all its fields. A reader passes over entries that it does not know, and takes a field's default where there is no
entry; whatever else does not fit is an error that names the file and the path of the entry, such as `nodes.conv.reads`.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar, cast

from qfx.errors import ProjectError
from qfx.files import File, write_text

Record = TypeVar("Record")


class _Misfit(Exception):
    """An entry that does not fit: its path, and what it would be one of, if it is a literal."""

    def __init__(self, path: str, choices: tuple[Any, ...] = ()) -> None:
        self.path, self.choices = path, choices


def read_json(file: File) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ProjectError: the file is missing, no JSON, or holds something else.
    """
    try:
        document: Any = json.loads(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProjectError(f"{file} is missing; the project is incomplete, export it again") from error
    except (OSError, ValueError) as error:
        raise ProjectError(f"{file} cannot be read as JSON: {error}; export the project again") from error
    if not isinstance(document, dict):
        raise ProjectError(f"{file} does not hold a JSON object; export the project again")
    return cast("dict[str, Any]", document)


def read_record(file: File, kind: type[Record], version: int) -> Record:
    """The record in a file whose entry `format` is this version.

    Raises:
        ProjectError: as `read_json`; another version; an entry that is missing or of the wrong kind.
    """
    document = read_json(file)
    if document.get("format") != version:
        made_by = document.get("qfx_version")
        other = f", or use the QFX that wrote it ({made_by})" if made_by else ""
        raise ProjectError(
            f"{file} has format {document.get('format')!r}; this QFX reads format {version}. Export the project again{other}"
        )
    return record_of(document, kind, file)


def record_of(document: object, kind: type[Record], where: File) -> Record:
    """The record that JSON data describes.

    Raises:
        ProjectError: an entry that is missing or of the wrong kind; names it and `where` it was read.
    """
    try:
        return cast("Record", _value(document, kind, ""))
    except _Misfit as misfit:
        choices = f" (it wants {', '.join(map(repr, misfit.choices))})" if misfit.choices else ""
        raise ProjectError(
            f"{where}: field {misfit.path!r} is missing or of the wrong kind{choices}; the project was altered, export it again"
        ) from None


def write_record(file: File, record: Any, indent: int = 1) -> None:
    """Write a record's fields to a file, complete or not at all."""
    write_json(file, dataclasses.asdict(record), indent)


def write_json(file: File, document: dict[str, Any], indent: int = 1) -> None:
    """Write JSON to a file, complete or not at all."""
    write_text(file, json.dumps(document, indent=indent) + "\n")


def _value(item: Any, kind: Any, path: str) -> Any:
    """`item` as a value of a type annotation."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _record(item, kind, path)
    if origin in (typing.Union, types.UnionType):
        if item is None and type(None) in arguments:
            return None
        return _value(item, next(one for one in arguments if one is not type(None)), path)
    if origin is tuple and isinstance(item, list):
        return tuple(_value(entry, arguments[0], f"{path}[{index}]") for index, entry in enumerate(cast("list[Any]", item)))
    if origin is dict and isinstance(item, dict):
        return {key: _value(entry, arguments[1], f"{path}.{key}") for key, entry in cast("dict[str, Any]", item).items()}
    if origin is typing.Literal:
        if item not in arguments or not isinstance(item, str):
            raise _Misfit(path, arguments)
        return item
    if kind is Any or (kind is float and type(item) is int) or (isinstance(kind, type) and type(item) is kind):
        return item
    raise _Misfit(path)


def _record(item: Any, kind: Any, path: str) -> Any:
    if not isinstance(item, dict):
        raise _Misfit(path)
    given, hints = cast("dict[str, Any]", item), typing.get_type_hints(kind)
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        below = f"{path}.{field.name}" if path else field.name
        if field.name in given:
            found[field.name] = _value(given[field.name], hints[field.name], below)
        elif field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _Misfit(below)
    return kind(**found)
