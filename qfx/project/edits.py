"""What somebody has changed in a project since QFX wrote it, so that replacing the project does not lose it."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from qfx.errors import ProjectError, QfxWarning
from qfx.files import File
from qfx.project.inventory import JUDGED, compare_files, is_source
from qfx.project.manifest import MANIFEST, read_manifest

_NAMED = 3
"""Files that a message names."""


def kept_aside(path: File, projects: Iterable[Path]) -> Path | None:
    """Where the directory `path` goes to stay when it gives way to a new one: to a name beside it, with a warning, if one of its
    projects was edited. None if nothing in it is anybody's work.
    """
    path = Path(path)
    found = [file for project in projects for file in edited(project)]
    if not found:
        return None
    names = (path.with_name(f"{path.name}.edited{number or ''}") for number in itertools.chain([0], itertools.count(2)))
    aside = next(name for name in names if not os.path.lexists(name))
    some = ", ".join(str(file.relative_to(path)) for file in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    told = f"{some}{more} in {path} changed after QFX wrote it; the former {path.name} is now {aside}"
    warnings.warn(told, QfxWarning, stacklevel=2)
    return aside


def edited(project: File) -> list[Path]:
    """Files of a project that are not as QFX wrote them: of `hls/` and the README those that were changed, and sources that were
    put beside them, while what tools leave behind is called otherwise or lies deeper; the manifest, if it cannot be read. Other
    files are QFX's alone: damaged ones are nobody's work.
    """
    project = Path(project)
    if not (project / MANIFEST).is_file():
        return []
    try:
        listed = read_manifest(project).files
    except ProjectError:
        return [project / MANIFEST]
    ours = {name: digest for name, digest in listed.items() if name == "README.md" or name.startswith(f"{JUDGED}/")}
    folders = {Path(name).parent for name in ours} - {Path()}
    found = compare_files(project, listed)
    added = (name for name in found.added if is_source(name) and Path(name).parent in folders)
    return sorted(project / name for name in (*ours.keys() & set(found.edited), *added))
