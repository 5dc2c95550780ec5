"""Where files and directories are made before they take their place, and what becomes of it when a process is killed.

    .qfx-<kernel>-<token>/   a workplace: beside its target, so that a rename puts what is ready in place
        lock                 holds the target's name; locked by the process that works here, until it ends
        new                  what becomes the target
        old                  the directory that gives way to it, for the moment between two renames

Every new workplace first clears those that ended processes have left in the same folder. Why that is safe:

- **A process that lives keeps its lock.** `flock` belongs to an open file, not to a process id: the kernel drops it when the
  process ends, however it ends, and it tells apart two runs, two threads, and two containers that share a directory, each with
  process ids of its own. A file system without locks answers with an error, on which nothing is touched.
- **A workplace in use is never seen unlocked.** Between making and locking it another run may take it for one left behind and
  remove it; then nothing is in it yet, and whoever made it sees that the file it locked is no longer there, and makes another.
- **Another kernel's locks may not be seen**, on a network drive or through a virtual machine. Names have a digest of the kernel's
  boot; a workplace of another boot is left alone until nothing has happened to its lock for a day.
- **Only what is QFX's**: the name fits, it is a directory and no link, and belongs to this user.
- **`old` is removed only after `new` has taken its place**, that is, when there is no `new`. While there are both, the process
  ended between the two renames, and `old` goes back; if something else lies there by then, both are kept, and a warning says where.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import platform
import re
import resource
import secrets
import shutil
import stat
import time
import warnings
from collections.abc import Generator
from functools import cache
from pathlib import Path

from qfx.errors import QfxError, QfxWarning, WriteError

File = str | os.PathLike[str]
"""A path as callers give it."""

LOCK, NEW, OLD = "lock", "new", "old"

_NAME = re.compile(r"\.qfx-([0-9a-f]{8})-[0-9a-f]{16}")

_FOREIGN = 86_400
"""Seconds after which a workplace of another kernel counts as left behind."""

PATIENCE = 5.0
"""Seconds to wait for others who rename something in the same folder, which takes them milliseconds."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of a write; they come without the name of a file."""


@contextlib.contextmanager
def workplace(target: File, shown: object = None) -> Generator[Path]:
    """A fresh folder beside `target`, gone when the block ends.

    Args:
        target: what is made; its folder has to exist.
        shown: what errors call it, by default as it is.

    Raises:
        WriteError: the folder cannot be written to, or a write in the block failed.
    """
    target = Path(target)
    shown = target if shown is None else shown
    clear_left(target.parent)
    with _failures(None, target, shown):
        with contextlib.suppress(FileNotFoundError):
            target.lstat()  # a name that is too long, before the work
        folder, lock = _claim(target)
    try:
        with _failures(folder, target, shown):
            yield folder
    finally:
        try:
            _settle(folder, target)
        finally:
            os.close(lock)


@contextlib.contextmanager
def alone(folder: File) -> Generator[None]:
    """While no other process renames directories in `folder`, as far as its file system has locks. Whoever has held the folder's
    lock for `PATIENCE` seconds is no such process, but perhaps the user's own `flock`, and is not waited for any longer.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    end = time.monotonic() + PATIENCE
    try:
        while not _lock(descriptor) and time.monotonic() < end:
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def clear_left(folder: File) -> None:
    """Remove the workplaces in `folder` whose processes have ended, and put back what they had moved aside."""
    with contextlib.suppress(OSError):
        for found in [Path(folder, name) for name in os.listdir(folder) if _NAME.fullmatch(name)]:  # noqa: PTH208  names, not paths
            with contextlib.suppress(OSError):
                _clear(found)


def _clear(folder: Path) -> None:
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        return
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        folder.rmdir()  # made, but not locked yet: nothing is in it
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its process lives
        (folder / LOCK).stat()  # fails if somebody else has cleared it meanwhile
        if folder.name.split("-")[1] != _kernel() and time.time() - os.fstat(lock).st_mtime < _FOREIGN:
            return
        target = folder.with_name(Path(os.fsdecode(os.read(lock, 4096))).name or LOCK)
        if _settle(folder, target):
            told = "a run was killed while it replaced it; the former one has been put back"
            warnings.warn(f"{target}: {told}", QfxWarning, stacklevel=2)
    finally:
        os.close(lock)


def _claim(target: Path) -> tuple[Path, int]:
    """A new workplace, and the descriptor that holds its lock."""
    while True:
        folder = target.with_name(f".qfx-{_kernel()}-{secrets.token_hex(8)}")
        folder.mkdir(0o700)
        with contextlib.suppress(_Cleared):
            return folder, _locked(folder, target)


class _Cleared(Exception):
    """Another run has removed the workplace before it was locked."""


def _locked(folder: Path, target: Path) -> int:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if not _lock(lock):
                raise _Cleared
            (folder / LOCK).stat()
            os.write(lock, os.fsencode(target.name))
        except BaseException:
            os.close(lock)
            raise
        return lock
    except (FileNotFoundError, _Cleared):
        raise _Cleared from None
    except BaseException:
        _settle(folder, target)
        raise


def _lock(descriptor: int) -> bool:
    """Lock a file or folder, where its file system has locks; False while somebody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here, so nobody else will lock it either
        pass
    return True


def _settle(folder: Path, target: Path) -> bool:
    """Remove a workplace; whether the directory that was to be replaced was put back."""
    new, old = folder / NEW, folder / OLD
    restored = os.path.lexists(new) and os.path.lexists(old)
    if restored:
        with alone(folder.parent):
            if os.path.lexists(target):
                told = f"{target} has appeared while it was being replaced; what was there before is in {old}, the new one in {new}"
                warnings.warn(f"{told}; move or remove them", QfxWarning, stacklevel=2)
                return False
            old.rename(target)
    for left in (new, old):
        _remove(left)
    with contextlib.suppress(OSError):
        if os.listdir(folder) == [LOCK]:  # noqa: PTH208
            (folder / LOCK).unlink()
        folder.rmdir()
    return restored


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@cache
def _kernel() -> str:
    """Digits of the kernel that runs now, until the next boot; of the host's name where the kernel does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = platform.node()
    return hashlib.sha256(boot.encode()).hexdigest()[:8]


@contextlib.contextmanager
def _failures(folder: Path | None, target: Path, shown: object) -> Generator[None]:
    """Errors of the block speak of the target, never of the workplace."""
    try:
        yield
    except QfxError as error:
        if folder is not None:
            error.args = tuple(_renamed(item, folder, shown) for item in error.args)
        raise
    except OSError as error:
        named = None if error.filename is None else os.fsdecode(error.filename)
        if folder is None or (error.errno in _FULL if named is None else named.startswith(str(folder))):
            raise WriteError(_failure(error, folder, target, shown)) from error
        raise


def _renamed(item: object, folder: Path, shown: object) -> object:
    return item.replace(str(folder / NEW), str(shown)).replace(str(folder), str(shown)) if isinstance(item, str) else item


def _failure(error: OSError, folder: Path | None, target: Path, shown: object) -> str:
    place = target.parent
    advice = {
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some space",
        errno.EFBIG: f"raise the limit of {resource.getrlimit(resource.RLIMIT_FSIZE)[0]:,} bytes for a file (ulimit -f)",
        errno.ENAMETOOLONG: "give it a shorter name",
        errno.ENOTDIR: f"{place} is no folder, choose another place",
        errno.ENOENT: f"make the folder {place} first" if folder is None else "run it again",
    }.get(error.errno or 0, f"choose another place than {place}")
    if folder is not None:
        advice += f", nothing half-written was left ({_size(folder / NEW):,} bytes were written"
        with contextlib.suppress(OSError):
            advice += f", {shutil.disk_usage(place).free:,} are free"
        advice += ")"
    return f"{shown} cannot be written: {error.strerror or error}; {advice}"


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
