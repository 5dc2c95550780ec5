"""What was compiled is kept by content, in one place, and used only as it was stored."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from qfx import cache as cache_module
from qfx.cache import Cache, default_cache
from qfx.errors import InputError


def test_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "KEPT", 2)
    cache, program = Cache(tmp_path / "cache"), tmp_path / "program"
    for age, key in ((30, "aa"), (20, "bb"), (10, "cc")):
        program.write_text(key)
        cache.store(key, program)
        for kept in cache.folder.glob(f"{key}-*"):
            os.utime(kept, (1e9 - age, 1e9 - age))
    assert [cache.fetch(key, program) for key in ("aa", "bb", "cc")] == [False, True, True]
    assert program.read_text() == "cc" and os.access(program, os.X_OK)


def test_an_interrupted_store_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    program = tmp_path / "program"
    program.write_text("x")
    monkeypatch.setattr(cache_module, "file_hash", stopped)
    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path / "cache").store("aa", program)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"QFX_CACHE": "/q", "XDG_CACHE_HOME": "/x"}, "/q"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/qfx"),
        ({"XDG_CACHE_HOME": "relative"}, "/h/.cache/qfx"),
        ({}, "/h/.cache/qfx"),
    ],
)
def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: str) -> None:
    for name in ("QFX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/h")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_cache() == Path(wanted)


def test_a_cache_that_is_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("QFX_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=re.escape(f"QFX_CACHE names {tmp_path}/file, which is no directory; name another")):
        default_cache()


def test_without_platformdirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The board has NumPy only."""
    monkeypatch.delenv("QFX_CACHE")
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert default_cache() == Path("/h/.cache/qfx")


def test_what_is_not_as_it_was_stored_is_removed(tmp_path: Path) -> None:
    cache, file = Cache(str(tmp_path / "cache")), tmp_path / "file"
    file.write_text("made")
    cache.store("aa", file)
    kept = cache.find("aa")
    assert kept is not None and kept.read_text() == "made" and cache.find("bb") is None
    kept.write_text("altered")
    assert cache.find("aa") is None and not cache.fetch("aa", file) and list((tmp_path / "cache").iterdir()) == []
    assert file.read_text() == "made"
