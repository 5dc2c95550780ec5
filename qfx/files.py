"""Files and directories that appear complete or not at all, whatever ends the process; and their digests.

What is made lies in a workplace beside its target (`qfx.workplace`) and takes its place by a rename. A target is the old thing, the
new one, or for the moment between two renames of directories nothing; the next run clears what a killed one has left.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO

from qfx.errors import InputError, ProjectError, WriteError
from qfx.workplace import NEW, OLD, File, alone, clear_left, workplace


@contextlib.contextmanager
def new_file(file: File) -> Generator[IO[bytes]]:
    """A stream whose content is in `file` when the block ends without an error; else nothing is, or what was there before.

    A link is followed, a device or a pipe is written to at the end, and a file that is replaced hands on its permissions.

    Raises:
        WriteError: `file` cannot be written; says why, and how far it went.
        InputError: it can be no path.
    """
    if _is_device(file):
        with tempfile.TemporaryFile("w+b") as stream:
            yield stream
            _copy_to_device(stream, Path(file))
        return
    target = _target(file)
    with workplace(target, file) as folder:
        work = folder / NEW
        with work.open("w+b") as stream:  # NumPy writes to a plain "wb" past Python, and its errors do not say what is wrong
            yield stream
        if target.exists():
            work.chmod(stat.S_IMODE(target.stat().st_mode))
            _flush(work)
        work.replace(target)


def write_text(file: File, text: str) -> None:
    """Write a file in UTF-8, complete or not at all."""
    with new_file(file) as stream:
        stream.write(text.encode())


def add_text(file: File, text: str) -> None:
    """Write UTF-8 behind what a file has; all of it, or an error and the file as it was.

    Raises:
        WriteError: the disk is full, or the file cannot be written.
    """
    content = text.encode()
    try:
        with _named(file).open("ab", buffering=0) as stream:
            start = stream.seek(0, os.SEEK_END)
            try:
                while content:
                    content = content[stream.write(content) :]
            except BaseException:
                stream.truncate(start)
                raise
    except OSError as error:
        raise WriteError(f"{file} cannot be written: {error.strerror or error}; it is as it was before these lines") from error


def check_writable(file: File) -> None:
    """Whether `file` can be made or replaced, before long work whose result goes there; clears what killed runs have left there.

    Raises:
        WriteError: its folder is missing or may not be written to, or it is a directory.
    """
    if not _is_device(file):
        with workplace(_target(file), file):
            pass


@contextlib.contextmanager
def scratch(folder: File | None = None, shown: File | None = None) -> Generator[Path]:
    """A folder for what nobody needs afterwards.

    Args:
        folder: where it lies; None for among the system's temporary files.
        shown: what errors call it.

    Raises:
        WriteError: it cannot be made, or the disk is full.
    """
    place = Path(tempfile.gettempdir() if folder is None else folder)
    with workplace(place / "scratch", shown or f"temporary files in {place}") as work:
        (work / NEW).mkdir()
        yield work / NEW


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
def new_directory(
    path: File, replaceable: Callable[[Path], bool] | None = None, kept: Callable[[Path], Path | None] | None = None
) -> Generator[Path]:
    """A fresh folder that becomes `path` when the block ends without an error, and vanishes otherwise.

    Args:
        path: the directory to make.
        replaceable: says whether what lies there may be replaced; None to replace nothing.
        kept: says where what lies there goes; None, or None for an answer, to remove it.

    Raises:
        ProjectError: something lies at `path` that may not be replaced.
        WriteError: a folder that cannot be written to, a full disk; says how far it went.
    """
    check_free(path, replaceable)
    target = Path(os.path.abspath(path))  # noqa: PTH100  Path.resolve would follow a link at `path` itself
    made = list(_make_parents(target))
    try:
        with workplace(target, path) as folder:
            (folder / NEW).mkdir()
            yield folder / NEW
            with alone(target.parent):
                _refuse(target, replaceable)
                _put(folder, target, kept)
    except BaseException:
        for parent in made:
            with contextlib.suppress(OSError):  # somebody else may have put something there
                parent.rmdir()
        raise


def check_free(path: File, replaceable: Callable[[Path], bool] | None = None) -> None:
    """Whether a directory may be made at `path`, before long work that ends in it; arguments as for `new_directory`.

    Raises:
        ProjectError: something lies there that may not be replaced.
        WriteError: nothing can be written there.
        InputError: it can be no path.
    """
    target = Path(os.path.abspath(_named(path)))  # noqa: PTH100
    restore(target)
    _refuse(Path(path), replaceable)
    there = next(parent for parent in target.parents if os.path.lexists(parent))
    with workplace(there / target.name, path):
        pass


def restore(path: File) -> None:
    """Put a directory back that a killed run had moved aside to replace it."""
    clear_left(Path(os.path.abspath(path)).parent)  # noqa: PTH100


def _refuse(path: Path, replaceable: Callable[[Path], bool] | None) -> None:
    if not os.path.lexists(path):
        return
    if replaceable is None:
        raise ProjectError(f"{path} exists already; choose another directory, or ask to overwrite it")
    if path.is_symlink() or not replaceable(path):
        raise ProjectError(f"{path} was not written by QFX, so it is not overwritten; choose another directory")


def _flush(file: Path) -> None:
    """Have a file on the disk before what it replaces is gone; else a power cut may lose both."""
    if file.is_file():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def _is_device(file: File) -> bool:
    """Whether it is a device or a pipe, which a rename must not replace."""
    try:
        mode = _named(file).stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _copy_to_device(stream: IO[bytes], device: Path) -> None:
    stream.seek(0)
    try:
        with device.open("wb") as out:
            shutil.copyfileobj(stream, out)
    except OSError as error:
        raise WriteError(f"{device} cannot be written: {error.strerror or error}; choose another file") from error


def _target(file: File) -> Path:
    """What a link leads to, so that the link stays.

    Raises:
        WriteError: it is a directory, or a link that leads to itself.
    """
    path = _named(file)
    if os.path.isdir(path):  # noqa: PTH112  no error of a name that is too long, as of the next line
        raise WriteError(f"{file} is a directory; give the name of a file")
    if not os.path.islink(path):  # noqa: PTH114
        return path
    target = Path(os.path.realpath(path))
    if os.path.islink(target):  # noqa: PTH114
        raise WriteError(f"{file} is a link that leads to itself; give the name of a file")
    return target


def _named(path: File) -> Path:
    """A path that may be written to.

    Raises:
        InputError: it is none, or the system has no such names.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"a path is text or a pathlib.Path, not {path!r}")
    try:
        possible = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise InputError(f"{os.fspath(path)!r} cannot be the name of a file; give another")
    return Path(path)


def _make_parents(path: Path) -> Iterator[Path]:
    """Make the missing parents of `path`; yields those made, the deepest first."""
    missing = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    yield from missing


def _put(folder: Path, target: Path, kept: Callable[[Path], Path | None] | None) -> None:
    """Rename what is ready to `target`; what lies there goes aside before, and is removed with its workplace unless it is kept."""
    there = os.path.lexists(target)
    aside = kept(target) if there and kept else None
    if there:
        for file in (folder / NEW).rglob("*"):
            _flush(file)
        target.rename(aside or folder / OLD)
    try:
        (folder / NEW).rename(target)
    except BaseException:
        if aside is not None and not os.path.lexists(target):
            aside.rename(target)
        raise
