"""A name of a module or a class stands once in the library, but for folders that mirror each other by intent."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MIRRORS = (
    {"qfx/ops", "qfx/nn", "export/hls/kernels", "export/cost"},  # an op: its meaning, its layer, its kernel, its datapath
    {"qfx/frontend/calls", "qfx/conversion"},  # calls of torch: the rows of the table, and what makes layers of them
    {"qfx/cli", "export"},  # a command, and what it shows
)
"""Folders of which each may have one of a name."""


def sources() -> list[Path]:
    """Modules of the library, each once: without the links inside `qfx`."""
    folders = [folder for folder in (ROOT / "qfx").iterdir() if folder.is_dir() and not folder.is_symlink()]
    found = [file for folder in (*folders, ROOT / "export", ROOT / "sim") for file in folder.rglob("*.py")]
    return sorted([*found, *(ROOT / "qfx").glob("*.py")])


def twice(names: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    """Names that stand in several places which do not mirror each other, with the places."""
    places: defaultdict[str, list[Path]] = defaultdict(list)
    for name, file in names:
        places[name].append(file.relative_to(ROOT))
    return {name: [file.as_posix() for file in files] for name, files in places.items() if not _mirrored(files)}


def _mirrored(files: list[Path]) -> bool:
    folders = [file.parent.as_posix() for file in files]
    return len(files) == 1 or (len(set(folders)) == len(folders) and any(mirrors.issuperset(folders) for mirrors in MIRRORS))


def classes(file: Path) -> list[str]:
    """Names of the classes of a module, private ones among them."""
    return [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]


def test_modules() -> None:
    assert twice((file.stem, file) for file in sources() if not file.stem.startswith("__")) == {}


def test_classes() -> None:
    assert twice((name, file) for file in sources() for name in classes(file)) == {}


@pytest.mark.parametrize("mirrors", MIRRORS, ids=lambda mirrors: " ".join(sorted(mirrors)))
def test_folders_that_mirror_each_other_exist(mirrors: set[str]) -> None:
    shared = [{file.stem for file in (ROOT / folder).glob("*.py")} - {"__init__"} for folder in mirrors]
    classed = [{name for file in (ROOT / folder).glob("*.py") for name in classes(file)} for folder in mirrors]
    for index, (modules, names) in enumerate(zip(shared, classed, strict=True)):
        others = set[str]().union(*(found for place, found in enumerate((*shared, *classed)) if place % len(mirrors) != index))
        assert others & (modules | names), f"one of {sorted(mirrors)} mirrors none of the others"


def test_what_is_found() -> None:
    """Two in a folder, or one in each of two folders that do not mirror each other, are too many."""
    ops, layers, training = (ROOT / folder for folder in ("qfx/ops", "qfx/nn", "qfx/training"))
    assert twice([("Add", ops / "add.py"), ("Add", layers / "add.py")]) == {}
    assert twice([("Add", ops / "add.py"), ("Add", ops / "base.py")]) == {"Add": ["qfx/ops/add.py", "qfx/ops/base.py"]}
    assert twice([("Add", ops / "add.py"), ("Add", training / "a.py")]) == {"Add": ["qfx/ops/add.py", "qfx/training/a.py"]}
