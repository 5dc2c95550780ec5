"""What the files of the repository hold to: their length, where C++ lies, and no path of one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 500
"""Lines that a module or a template may have."""

SOURCE = {".py", ".j2", ".c", ".h", ".hpp", ".cpp", ".tcl"}
CPP = re.compile(r"#include\s*[<\"]|hls::stream<|#pragma HLS|\btemplate\s*<\s*(?:typename|class|int)\b|\bap_u?(?:int|fixed)<\{")
"""Marks of C++ that a Python string would carry if it were written there."""

MACHINE_PATH = re.compile(r"/home/\w|/root/|/Users/\w|/wor[k]/|\.\./share[d]")


def files() -> list[Path]:
    """Every tracked or new text file of the repository, links left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    paths = [ROOT / name for name in names if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    """The text of a file; empty if it is binary."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_module_is_long() -> None:
    long = {relative(path): len(text_of(path).splitlines()) for path in files() if path.suffix in SOURCE}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


KERNEL = {"qfx/quant/kernel.c", "qfx/quant/loops.h"}
"""The casts of training in C, for the CPU at hand; nothing of it is exported."""
FINDS = {"qfx/testing/iterations.py"}
"""What looks for a mark in C++ that was exported."""


def test_cpp_only_in_the_templates() -> None:
    outside = [path for path in files() if relative(path).split("/")[0] not in {"hls_templates", "tests", "docs"}]
    outside = [path for path in outside if relative(path) not in KERNEL | FINDS]
    assert [relative(path) for path in outside if path.suffix in {".c", ".cc", ".cpp", ".h", ".hpp"}] == []
    assert [relative(path) for path in outside if path.suffix == ".py" and CPP.search(text_of(path))] == []


def test_no_path_of_a_machine() -> None:
    assert [relative(path) for path in files() if MACHINE_PATH.search(text_of(path)) and path != Path(__file__)] == []


def test_no_reference_to_a_document_that_is_not_here() -> None:
    mark = re.compile(r"\bDESIGN\b|\bfacts?/|\bfacts [A-Z]?\d")
    assert [relative(path) for path in files() if path != Path(__file__) and mark.search(text_of(path))] == []


def test_nothing_is_pickled() -> None:
    mark = re.compile(r"\bpickle\.(?:loads?|dumps?|Pickler|Unpickler)\b|allow_pickle=True|weights_only=False")
    sources = [path for path in files() if path.suffix == ".py" and not relative(path).startswith("tests/")]
    assert [relative(path) for path in sources if mark.search(text_of(path))] == []


def test_nothing_unfinished() -> None:
    mark = re.compile(r"\b(?:TODO|FIXME|XXX)\b|raise NotImplementedError")
    sources = [path for path in files() if path.suffix in SOURCE and path != Path(__file__)]
    assert [relative(path) for path in sources if mark.search(text_of(path))] == []


@pytest.mark.parametrize("name", ["export", "sim", "boards", "hls_templates"])
def test_package_links(name: str) -> None:
    link = ROOT / "qfx" / name
    assert link.is_symlink() and link.readlink() == Path("..") / name
