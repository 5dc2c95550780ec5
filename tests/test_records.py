"""Dataclasses from JSON files: what fits is read, what does not is named with its path."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from qfx.errors import ProjectError
from qfx.fixed import FixedType
from qfx.records import read_json, read_record, record_of, write_record


@dataclass(frozen=True)
class Part:
    name: str
    lanes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Whole:
    format: int
    share: float
    ready: bool
    parts: dict[str, Part]
    note: str | None
    first: Part | None = None
    extra: dict[str, int] = field(default_factory=dict[str, int])
    pair: tuple[int, int] = (0, 0)


WHOLE = Whole(3, 0.5, True, {"a": Part("x", (1, 2))}, None, Part("y"), {"b": 1})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_record(tmp_path / "file", WHOLE)
    assert read_record(tmp_path / "file", Whole, 3) == WHOLE
    assert json.loads((tmp_path / "file").read_text())["parts"] == {"a": {"name": "x", "lanes": [1, 2]}}


def test_defaults_and_entries_that_are_not_known() -> None:
    found = record_of({"format": 1, "share": 2, "ready": False, "parts": {}, "note": "n", "new": 7}, Whole, "here")
    assert found == Whole(1, 2, False, {}, "n") and found.extra == {}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"format": "3"}, "format"),
        ({"format": True}, "format"),
        ({"format": 3.0}, "format"),
        ({"share": "1"}, "share"),
        ({"ready": 1}, "ready"),
        ({"note": 1}, "note"),
        ({"parts": []}, "parts"),
        ({"parts": {"a": 1}}, "parts.a"),
        ({"parts": {"a": {}}}, "parts.a.name"),
        ({"parts": {"a": {"name": "x", "lanes": 1}}}, "parts.a.lanes"),
        ({"parts": {"a": {"name": "x", "lanes": [1, None]}}}, "parts.a.lanes[1]"),
        ({"first": {"name": None}}, "first.name"),
        ({"extra": {"b": "1"}}, "extra.b"),
        ({"pair": [1]}, "pair"),
        ({"pair": [1, 2, 3]}, "pair"),
        ({"pair": [1, None]}, "pair[1]"),
        ({"share": 10**400}, "share"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], path: str) -> None:
    given: dict[str, Any] = json.loads('{"format": 3, "share": 0.5, "ready": true, "parts": {}, "note": null}')
    message = f"here: field {path!r} is missing or of the wrong kind; the project was altered, export it again"
    with pytest.raises(ProjectError, match=re.escape(message)):
        record_of(given | change, Whole, "here")


def test_a_list_is_no_record() -> None:
    with pytest.raises(ProjectError, match="here: field '' is missing or of the wrong kind"):
        record_of([], Whole, "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "file is missing; the project is incomplete, export it again"),
        ("{", "file cannot be read as JSON: Expecting property name"),
        (b"\xff", "file cannot be read as JSON: 'utf-8' codec"),
        ("[]", "file does not hold a JSON object; export the project again"),
        ('{"a": NaN}', "file cannot be read as JSON: NaN is no number that float64 has"),
        ('{"a": -Infinity}', "-Infinity is no number that float64 has"),
        ('{"a": 1e400}', "1e400 is no number that float64 has"),
        ('{"a": ' + "9" * 5000 + "}", "file cannot be read as JSON: Exceeds the limit"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is given twice"),
        ('{"a": ["\\u0000"]}', r"the text '\\x00' has the character '\\x00'"),
        ('{"\\ud800": 1}', r"the text '\\ud800' has the character '\\ud800'"),
        ("[" * 200_000, "file cannot be read as JSON: its entries are nested too deeply"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, text: str | bytes | None, message: str) -> None:
    if text is not None:
        (tmp_path / "file").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ProjectError, match=message):
        read_json(tmp_path / "file")


def test_text_that_only_looks_like_a_character(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(r'{"a": "\\u0000", "b": "\ud83d\ude00"}')
    assert read_json(tmp_path / "file") == {"a": r"\u0000", "b": "\U0001f600"}


def test_what_never_ends_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    for name in (tmp_path / "file", "/dev/zero"):
        with pytest.raises(ProjectError, match=f"{name} is no file; the project was altered, export it again"):
            read_json(name)


def test_a_record_that_checks_itself() -> None:
    message = "here: a fixed-point width of 99 bits is outside 1..63; the project was altered, export it again"
    with pytest.raises(ProjectError, match=re.escape(message)):
        record_of({"signed": True, "width": 99, "frac": 0}, FixedType, "here")


def test_another_version(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"format": 2}')
    message = "file has format 2; this QFX reads format 3. Export the project again"
    with pytest.raises(ProjectError, match=f"{re.escape(message)}$"):
        read_record(tmp_path / "file", Whole, 3)
    (tmp_path / "file").write_text('{"format": 2, "qfx_version": "9.0"}')
    with pytest.raises(ProjectError, match=re.escape(f"{message}, or use the QFX that wrote it (9.0)")):
        read_record(tmp_path / "file", Whole, 3)
