"""Compiled C simulations kept by content: the same sources, headers, compiler and flags are compiled once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from qfx.errors import InputError

KEPT = 200
"""Programs that a cache holds; the ones used longest ago make room."""

FLAG_VARIABLES = ("CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "GCC_EXEC_PREFIX", "COMPILER_PATH")
"""Environment variables that change what g++ makes."""


def default_cache() -> Path:
    """$QFX_CACHE, else `qfx` in $XDG_CACHE_HOME, else in `.cache` of the home directory.

    Raises:
        InputError: $QFX_CACHE names something that is no directory.
    """
    named = os.environ.get("QFX_CACHE")
    if named:
        if Path(named).exists() and not Path(named).is_dir():
            raise InputError(f"QFX_CACHE names {named}, which is no directory; name another, unset it or give --no-cache")
        return Path(named)
    standard = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(standard) if os.path.isabs(standard) else Path.home() / ".cache") / "qfx"  # noqa: PTH117


def program_key(folders: Iterable[Path], compiler: str, flags: Sequence[str]) -> str:
    """The name of a program: a digest of all that decides what it does.

    Args:
        folders: every file in them counts, with its relative path and its content.
        compiler: its version counts.
        flags: of the command, free of paths.
    """
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, errors="replace").stdout
    digest = hashlib.sha256()
    variables = [f"{name}={os.environ[name]}" for name in FLAG_VARIABLES if name in os.environ]
    for text in (version, *flags, *variables):
        digest.update(f"{len(text)}:{text}".encode())
    for folder in folders:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            name, content = file.relative_to(folder).as_posix(), file.read_bytes()
            digest.update(f"{len(name)}:{name}{len(content)}:".encode() + content)
        digest.update(b"end")
    return digest.hexdigest()


class ProgramCache:
    """A folder of programs, each in a file named by its key and the digest of its content.

    A cache that cannot be read or written is passed over: it saves time and decides nothing.

    Args:
        folder: made when the first program is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, key: str, program: Path) -> bool:
        """Copy the program of this key to `program`; False if there is none, or not as it was stored."""
        for kept in self.folder.glob(f"{key}-*"):
            with contextlib.suppress(OSError):
                shutil.copyfile(kept, program)
                if _digest(program) == kept.name.removeprefix(f"{key}-"):
                    program.chmod(0o700)
                    os.utime(kept)
                    return True
                kept.unlink()
        return False

    def store(self, key: str, program: Path) -> None:
        """Keep a copy of `program`; it appears complete or not at all."""
        work = self.folder / f".{secrets.token_hex(8)}.partial"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(program, work)
            work.replace(self.folder / f"{key}-{_digest(program)}")
            self._make_room()
        except OSError:
            with contextlib.suppress(OSError):
                work.unlink(missing_ok=True)
        except BaseException:
            work.unlink(missing_ok=True)
            raise

    def _make_room(self) -> None:
        kept = sorted(self.folder.glob("[0-9a-f]*-*"), key=lambda path: path.stat().st_mtime)
        for path in kept[:-KEPT]:
            path.unlink(missing_ok=True)


def own_sources(dependencies: Path, folders: Sequence[Path]) -> bool:
    """Whether all that a compiler's dependency file (`-MMD`) lists lies in `folders`, so that their content is the whole story."""
    text = dependencies.read_text(errors="replace").replace("\\\n", " ").partition(": ")[2].replace("\\ ", "\0")
    files = [Path(word.replace("\0", " ")).resolve() for word in text.split()]
    return all(any(file.is_relative_to(folder.resolve()) for folder in folders) for file in files)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
