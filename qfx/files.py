"""Files and directories that appear complete or not at all, and their digests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO

from qfx.errors import ProjectError

File = str | os.PathLike[str]
"""A path as callers give it."""


@contextlib.contextmanager
def new_file(file: File) -> Generator[IO[bytes]]:
    """A stream whose content is in `file` when the block ends without an error; else nothing is, or what was there before."""
    with new_path(file) as work, work.open("wb") as stream:
        yield stream


@contextlib.contextmanager
def new_path(file: File) -> Generator[Path]:
    """A path beside `file` for whoever writes by name; what lies there takes the place of `file` as for `new_file`."""
    file = Path(file)
    work = _beside(file, "partial")
    try:
        yield work
        work.replace(file)
    finally:
        work.unlink(missing_ok=True)


def write_text(file: File, text: str) -> None:
    """Write a file in UTF-8, complete or not at all."""
    with new_path(file) as work:
        work.write_text(text, encoding="utf-8")


def file_hash(file: File) -> str:
    """sha256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(file).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def joint_hash(*parts: bytes) -> str:
    """sha256 of a list of parts, as hexadecimal digits; other parts, or the same ones cut otherwise, have another one."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


@contextlib.contextmanager
def new_directory(path: File, replaceable: Callable[[Path], bool] | None = None) -> Generator[Path]:
    """A fresh folder that becomes `path` when the block ends without an error, and vanishes otherwise.

    Args:
        path: the directory to make.
        replaceable: says whether what lies there may be replaced; None to replace nothing.

    Raises:
        ProjectError: something lies at `path` that may not be replaced.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  Path.resolve would follow a link at `path` itself
    check_free(path, replaceable)
    made = list(_make_parents(path))
    work = _beside(path, "partial")
    try:
        work.mkdir()
        yield work
        check_free(path, replaceable)
        _put(work, path)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):  # somebody else may have put something there
                parent.rmdir()
        raise


def check_free(path: File, replaceable: Callable[[Path], bool] | None = None) -> None:
    """Whether a directory may be made at `path`; arguments as for `new_directory`.

    Raises:
        ProjectError: something lies there that may not be replaced.
    """
    path = Path(path)
    if not os.path.lexists(path):
        return
    if replaceable is None:
        raise ProjectError(f"{path} exists already; choose another directory, or ask to overwrite it")
    if path.is_symlink() or not replaceable(path):
        raise ProjectError(f"{path} was not written by QFX, so it is not overwritten; choose another directory")


def _make_parents(path: Path) -> Iterator[Path]:
    """Make the missing parents of `path`; yields those made, the deepest first."""
    missing = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    yield from missing


def _put(work: Path, path: Path) -> None:
    """Rename `work` to `path`; an old project there is moved aside first and removed at last."""
    old = _beside(path, "old")
    replaced = path.exists()
    if replaced:
        path.rename(old)
    try:
        work.rename(path)
    except OSError:
        if replaced:
            old.rename(path)
        raise
    if replaced:
        shutil.rmtree(old)


def _beside(path: Path, ending: str) -> Path:
    """A free name in the same folder, so that a rename puts it in place."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{ending}")
