"""The workflows for GitHub run what the Makefile and .ci/run have, on pinned actions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned_to_commits(file: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", file.read_text())
    assert used
    assert [
        name for name, comment in used if not (re.search(r"@[0-9a-f]{40}$", name) and re.match(r" # v\d+\.\d+\.\d+$", comment))
    ] == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_it_runs_what_is_there(file: Path) -> None:
    text = file.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert ".ci/run" in text and (ROOT / ".ci" / "run").is_file()
    assert set(re.findall(r"make ([a-z-]+)", text)) <= targets


def test_every_python_that_the_package_takes_is_tried() -> None:
    least = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert least
    tried = [
        int(minor)
        for minor in re.findall(r'"3\.(\d+)"', (ROOT / ".github" / "workflows" / "ci.yml").read_text().split("matrix:")[1])
    ]
    assert tried == list(range(int(least[1]), max(tried) + 1))
