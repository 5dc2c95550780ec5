"""Odd arguments for every public function and command, thousands of damaged projects: QfxErrors, exit codes, right verdicts.

What runs is in `tests/damage`, in a process of its own whose memory is limited. Numbers repeat a case:

    python -m tests.damage.trial FOLDER 4711      one damaged project, which stays in FOLDER
    python -m tests.damage.calls FOLDER api 30 1  every public function
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.test_front_door import LISTING
from tests.damage.calls import LEFT_OUT, subjects

ROOT = Path(__file__).parents[1]

KNOWN: dict[str, str] = {}
"""What is not clean yet -> why. One that has become clean fails the full run: drop it."""

CASES, CHUNK = 10_000, 1_000


def run(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"tests.damage.{module}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def damaged(folder: Path, first: int, behind: int) -> None:
    done = run("trial", folder, first, behind)
    numbers = re.findall(r"^\d+$", done.stdout, re.M)
    died = "" if len(numbers) == behind - first else f"the process died of case {numbers[-1:]} with {done.returncode}\n"
    assert not died and done.returncode == 0, died + done.stderr[-20_000:]


def called(folder: Path, what: str, count: int, every: int) -> dict[str, str]:
    done = run("calls", folder, what, count, every)
    assert done.returncode == 0, done.stderr[-5_000:]
    return json.loads(done.stdout)


def test_a_sample_of_damaged_projects(tmp_path: Path) -> None:
    damaged(tmp_path, 0, 40)


@pytest.mark.full
@pytest.mark.parametrize("first", range(0, CASES, CHUNK))
def test_damaged_projects(first: int, tmp_path: Path) -> None:
    damaged(tmp_path, first, first + CHUNK)


@pytest.mark.parametrize("what", ["api", "cli"])
def test_a_sample_of_odd_arguments(what: str, tmp_path: Path) -> None:
    found = called(tmp_path, what, 2, 6)
    assert {name: wrong for name, wrong in found.items() if name not in KNOWN} == {}


@pytest.mark.full
def test_odd_arguments(tmp_path: Path) -> None:
    found = called(tmp_path / "api", "api", 30, 1) | called(tmp_path / "cli", "cli", 30, 1)
    assert {name: wrong for name, wrong in found.items() if name not in KNOWN} == {}
    assert sorted(KNOWN.keys() - found) == [], "these are clean: drop them from KNOWN"


def test_every_public_function_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/api.txt lists is tried or left out with a reason, and every parameter has an argument that fits."""
    monkeypatch.chdir(tmp_path)
    tried = {subject.name: subject for subject in subjects()}
    lines = [line for line in LISTING.read_text().splitlines() if line.startswith(("qfx.", "class qfx."))]
    plain = [
        line
        for line in lines
        if not re.search(r"^[\w.]+ = |  \(package\)$|^[\w.]+: |\[(Enum|Exception|UserWarning|\w*Error.*)\]$", line)
    ]
    names = {re.split(r"[( ]", line.removeprefix("class "))[0] for line in plain}
    assert sorted(names - tried.keys() - LEFT_OUT.keys()) == []
    assert sorted(LEFT_OUT.keys() - names) == [], "no longer public"
    for subject in tried.values():
        assert subject.lacking() == [], f"{subject.name}: tests/damage/calls.py has no argument for these"
