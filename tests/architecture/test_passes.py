"""A pass says in a numbered list what it rewrites, and every number has a test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PASSES = sorted(file.stem for file in (ROOT / "qfx" / "ir" / "passes").glob("*.py") if file.stem != "__init__")


def numbers(source: str) -> list[int]:
    """Those of the list in the docstring of a module."""
    return [int(number) for number in re.findall(r"^(\d+)\. ", ast.get_docstring(ast.parse(source)) or "", re.M)]


def covered(source: str) -> set[int]:
    """The numbers in the names of a module's tests."""
    return {int(number) for number in re.findall(r"^def test_(\d+)_\w+\(", source, re.M)}


@pytest.mark.parametrize("name", PASSES)
def test_every_rewrite_has_a_number_and_a_test(name: str) -> None:
    said = numbers((ROOT / "qfx" / "ir" / "passes" / f"{name}.py").read_text())
    assert said and said == list(range(1, len(said) + 1)), f"qfx/ir/passes/{name}.py numbers what it rewrites {said}"
    file = ROOT / "tests" / "ir" / "passes" / f"test_{name}.py"
    assert file.is_file(), f"{name} has no tests in {file.relative_to(ROOT)}"
    assert covered(file.read_text()) == set(said), f"{file.name} wants a test_<number>_... for each of {said}"


def test_the_rule_finds_numbers() -> None:
    assert numbers('"""What.\n\n1. one\n2. two\n"""') == [1, 2] and numbers("x = 1") == []
    assert covered("def test_1_a() -> None: ...\ndef test_b() -> None: ...\ndef test_12_c(x) -> None: ...") == {1, 12}


def test_passes_are_there() -> None:
    assert PASSES == ["k_hot", "pool_first"]
