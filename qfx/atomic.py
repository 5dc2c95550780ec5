"""Directories that appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from qfx.errors import ProjectError


@contextlib.contextmanager
def new_directory(path: Path, replaceable: Callable[[Path], bool] | None = None) -> Generator[Path]:
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
    work = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
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


def check_free(path: Path, replaceable: Callable[[Path], bool] | None = None) -> None:
    """Whether a directory may be made at `path`; arguments as for `new_directory`.

    Raises:
        ProjectError: something lies there that may not be replaced.
    """
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
    old = path.parent / f".{path.name}.{secrets.token_hex(4)}.old"
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
