"""Dataclasses in JSON files.

A record is a frozen dataclass of text, numbers, truth values, literals, tuples and dictionaries of them, and of records. It is
written with all its fields. A reader passes over entries that it does not know, and takes a field's default where there is no
entry; whatever else does not fit is an error that names the file and the path of the entry, such as `nodes.conv.reads`.

JSON is read without what has two meanings or none: keys given twice, NaN and infinity, numbers beyond float64, and text with NUL
or half a surrogate pair, which no file name and no terminal takes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import reprlib
import types
import typing
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar, cast

from qfx.errors import ProjectError, QfxError
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
        if Path(file).exists() and not Path(file).is_file():  # a pipe or a device may never end
            raise ProjectError(f"{file} is no file; the project was altered, export it again")
        document = parse_json(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProjectError(f"{file} is missing; the project is incomplete, export it again") from error
    except ProjectError:
        raise
    except (OSError, ValueError) as error:
        raise ProjectError(f"{file} cannot be read as JSON: {error}; export the project again") from error
    if not isinstance(document, dict):
        raise ProjectError(f"{file} does not hold a JSON object; export the project again")
    return cast("dict[str, Any]", document)


def parse_json(text: str) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON, or has what this module's description leaves out.
    """
    try:
        document = json.loads(text, parse_float=_finite, parse_constant=_finite, object_pairs_hook=once)
    except RecursionError:
        raise ValueError("its entries are nested too deeply") from None
    if "\\u" in text:
        _check_texts(document)
    return document


def _check_texts(document: Any) -> None:
    """Raises ValueError for a text with NUL or half a surrogate pair."""
    left = [document]
    while left:  # no recursion, which Python limits more narrowly than json does
        item = left.pop()
        if isinstance(item, str) and (found := _NO_TEXT.search(item)):
            raise ValueError(f"the text {item[:80]!a} has the character {found[0]!a}")
        if isinstance(item, dict):
            left += [*cast("dict[str, Any]", item).keys(), *cast("dict[str, Any]", item).values()]
        elif isinstance(item, list):
            left += cast("list[Any]", item)


_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no number that float64 has")
    return number


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, for `object_pairs_hook`.

    Raises:
        ValueError: a key is given twice; of such keys `json` takes the last one, and says nothing.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice[:80]!r} is given twice")
    return found


def read_record(file: File, kind: type[Record], version: int) -> Record:
    """The record in a file whose entry `format` is this version.

    Raises:
        ProjectError: as `read_json`; another version; an entry that is missing or of the wrong kind.
    """
    document = read_json(file)
    if document.get("format") != version:
        made_by = document.get("qfx_version")
        other = f", or use the QFX that wrote it ({made_by[:20]})" if isinstance(made_by, str) else ""
        found = reprlib.repr(document.get("format"))
        raise ProjectError(f"{file} has format {found}; this QFX reads format {version}. Export the project again{other}")
    return record_of(document, kind, file)


def record_of(document: object, kind: type[Record], where: File) -> Record:
    """The record that JSON data describes.

    Raises:
        ProjectError: an entry that is missing or of the wrong kind; names it and `where` it was read.
    """
    try:
        return cast("Record", _value(document, kind, ""))
    except QfxError as error:  # of a record that checks itself
        raise ProjectError(f"{where}: {error}; the project was altered, export it again") from error
    except _Misfit as misfit:
        choices = f" (it wants {', '.join(map(repr, misfit.choices))})" if misfit.choices else ""
        field = f"field {misfit.path[:200]!r} is missing or of the wrong kind{choices}"
        raise ProjectError(f"{where}: {field}; the project was altered, export it again") from None


def write_record(file: File, record: Any, indent: int = 1) -> None:
    """Write a record's fields to a file, complete or not at all."""
    write_json(file, dataclasses.asdict(record), indent)


def write_json(file: File, document: dict[str, Any], indent: int = 1) -> None:
    """Write JSON to a file, complete or not at all."""
    write_text(file, json.dumps(document, indent=indent) + "\n")


_BEYOND = 1 << 1000
"""Integers from here on are no floats."""


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
        entries = cast("list[Any]", item)
        kinds = [arguments[0]] * len(entries) if arguments[-1] is Ellipsis else arguments
        if len(kinds) != len(entries):
            raise _Misfit(path)
        return tuple(_value(entry, kinds[index], f"{path}[{index}]") for index, entry in enumerate(entries))
    if origin is dict and isinstance(item, dict):
        return {key: _value(entry, arguments[1], f"{path}.{key}") for key, entry in cast("dict[str, Any]", item).items()}
    if origin is typing.Literal:
        if item not in arguments or not isinstance(item, str):
            raise _Misfit(path, arguments)
        return item
    if kind is float and type(item) is int and abs(item) < _BEYOND:
        return float(item)
    if kind is Any or (isinstance(kind, type) and type(item) is kind):
        return item
    raise _Misfit(path)


def _record(item: Any, kind: Any, path: str) -> Any:
    if not isinstance(item, dict):
        raise _Misfit(path)
    given, hints = cast("dict[str, Any]", item), _hints(kind)
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        below = f"{path}.{field.name}" if path else field.name
        if field.name in given:
            found[field.name] = _value(given[field.name], hints[field.name], below)
        elif field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _Misfit(below)
    return kind(**found)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
