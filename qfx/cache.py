"""What was compiled, kept by content: the C simulations of projects and the kernel of the casts.

A cache is a folder of files, each named by its key, which says what it was made from, and by the digest of its content. A cache
that cannot be read or written is passed over: it saves time and decides nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
from pathlib import Path
from typing import Any

from qfx.errors import InputError
from qfx.files import File, file_hash, new_file

KEPT = 200
"""Files that a cache holds; the ones used longest ago make room."""


def default_cache() -> Path:
    """$QFX_CACHE, else `qfx` among the user's caches: $XDG_CACHE_HOME or `.cache` of the home directory on Linux.

    Raises:
        InputError: $QFX_CACHE names something that is no directory.
    """
    named = os.environ.get("QFX_CACHE")
    if not named:
        return _users_cache()
    if Path(named).exists() and not Path(named).is_dir():
        raise InputError(f"QFX_CACHE names {named}, which is no directory; name another, unset it or give --no-cache")
    return Path(named)


def _users_cache() -> Path:
    try:
        platformdirs: Any = importlib.import_module("platformdirs")
    except ImportError:  # on the board NumPy is all there is
        return Path.home() / ".cache" / "qfx"
    return Path(platformdirs.user_cache_path("qfx", appauthor=False))


class Cache:
    """Keeps files by key.

    Args:
        folder: made when the first file is stored.
    """

    def __init__(self, folder: File) -> None:
        self.folder = Path(folder)

    def find(self, key: str) -> Path | None:
        """The file of this key, where it lies; None if there is none. What is not as it was stored is removed."""
        for kept in self.folder.glob(f"{key}-*"):
            with contextlib.suppress(OSError):
                if file_hash(kept) == kept.name.removeprefix(f"{key}-"):
                    with contextlib.suppress(OSError):
                        os.utime(kept)
                    return kept
                kept.unlink()
        return None

    def fetch(self, key: str, file: File) -> bool:
        """Copy the file of this key to `file`, executable; False if there is none."""
        kept = self.find(key)
        if kept is None:
            return False
        try:
            shutil.copyfile(kept, file)
            Path(file).chmod(0o700)
        except OSError:
            return False
        return True

    def store(self, key: str, file: File) -> None:
        """Keep a copy of `file`; it appears complete or not at all."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with Path(file).open("rb") as made, new_file(self.folder / f"{key}-{file_hash(file)}") as kept:
                shutil.copyfileobj(made, kept)
            self._make_room()

    def _make_room(self) -> None:
        kept = sorted(self.folder.glob("[0-9a-f]*-*"), key=lambda path: path.stat().st_mtime)
        for path in kept[:-KEPT]:
            path.unlink(missing_ok=True)
