"""What lies in a project directory, held against its manifest: files that were edited, are missing, or were added."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qfx.errors import AlteredError, ProjectError
from qfx.files import File, file_hash
from qfx.project.manifest import MANIFEST
from qfx.sim.headers import OPEN_HEADERS, OWN_HEADERS

JUDGED = "hls"
"""The folder whose files are judged as they lie: a hash that differs is reported, not refused. It is an include path of the
compilers, so whatever lies there can take part in the build, whatever its name."""

SOURCES = frozenset(
    {".cpp", ".cc", ".cxx", ".c", ".h", ".hpp", ".hh", ".inc", ".gch", ".v", ".sv", ".vh", ".tcl", ".cfg", ".mk", ".ini"}
)
"""Endings of files that take part in a build wherever they lie."""

MAKEFILES = frozenset({"makefile", "gnumakefile"})

FEW, MOST = 5, 20
"""Added files of a directory that are named one by one, and names that an error lists."""


@dataclass(frozen=True)
class Differences:
    """Between a directory and its manifest; relative paths, sorted.

    Attributes:
        edited: files with another content.
        missing: files that are not there.
        added: files and links that the manifest does not list.
    """

    edited: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def check(self, path: File) -> None:
        """Refuse them.

        Raises:
            AlteredError: there is one; it names them.
        """
        kinds = (("was edited", self.edited), ("is missing", self.missing), ("was added", self.added))
        found = [f"{shown(name)} {what}" for what, names in kinds for name in names]
        if found:
            more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
            files = "1 file is" if len(found) == 1 else f"{len(found)} files are"
            raise AlteredError(
                f"{path}: {files} not as {MANIFEST} says: {'; '.join(found[:MOST])}{more}; export the project again, restore what"
                " it lists and remove the rest, or do without strict"
            )


def compare_files(path: File, listed: Mapping[str, str]) -> Differences:
    """Compare a project directory with the files of its manifest, relative path -> sha256.

    Raises:
        ProjectError: a file or a folder cannot be read.
    """
    path = Path(path)
    try:
        present = set(_names(path))
        missing = [name for name in listed if not (path / name).is_file()]
        edited = [name for name, digest in listed.items() if name not in missing and file_hash(path / name) != digest]
    except OSError as error:
        name = Path(os.fsdecode(error.filename or path)).name[:80]
        raise ProjectError(f"{path}: {name} cannot be read: {error.strerror or error}") from error
    added = present.difference(listed, [MANIFEST])
    return Differences(tuple(sorted(edited)), tuple(sorted(missing)), tuple(sorted(added)))


def _names(path: Path) -> Iterator[str]:
    """Relative paths of all files below a directory, and of links to anything, which are not followed."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(path, onerror=fail):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*files, *links):
            yield Path(folder, name).relative_to(path).as_posix()


def added_notes(path: File, listed: Mapping[str, str], added: tuple[str, ...]) -> list[str]:
    """A sentence for each added file that can take part in a build; of a directory with many of them, for the directory."""
    groups: dict[str, list[str]] = {}
    for name in added:
        if _can_take_part(Path(path, name), name):
            groups.setdefault(_own_directory(name, listed), []).append(name)
    return [note for directory, names in groups.items() for note in _notes(Path(path), directory, names)]


def _notes(path: Path, directory: str, names: list[str]) -> Iterator[str]:
    if directory and len(names) > FEW:
        yield f"{shown(directory)}/ with {len(names):,} files is not in the manifest; they can take part in the build"
        return
    for name in names:
        what = "is a link that is" if (path / name).is_symlink() else "is"
        yield f"{shown(name)} {what} not in the manifest; it can take part in the build{_shadowed(name)}"


def _shadowed(name: str) -> str:
    header = name.removeprefix(f"{JUDGED}/")
    return f", in the place of the header <{header}>" if header in {*OPEN_HEADERS, *OWN_HEADERS} else ""


def is_source(name: str) -> bool:
    """Whether a file of this name takes part in a build wherever it lies."""
    return Path(name).suffix.lower() in SOURCES or Path(name).name.lower() in MAKEFILES


def _can_take_part(file: Path, name: str) -> bool:
    return name.startswith(f"{JUDGED}/") or is_source(name) or file.is_symlink()


def _own_directory(name: str, listed: Mapping[str, str]) -> str:
    """The topmost directory above a file in which the manifest lists nothing; empty if there is none."""
    parents = [parent.as_posix() for parent in reversed(Path(name).parents)][1:]
    return next((parent for parent in parents if not any(other.startswith(f"{parent}/") for other in listed)), "")


def shown(name: str) -> str:
    """A file's name for people: as it is, or escaped where it cannot be printed."""
    return name if name.isprintable() else ascii(name)
