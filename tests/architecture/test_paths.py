"""Whoever gives a path may give text: no public function asks for a `pathlib.Path`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.test_imports import module_name, sources


def wanting_path(tree: ast.AST, public: bool = True) -> Iterator[str]:
    """`function(argument)` for every argument of a public function that takes a Path and no text."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from wanting_path(node, public and not node.name.startswith("_"))
        elif isinstance(node, ast.FunctionDef) and public and (not node.name.startswith("_") or node.name == "__init__"):
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                if argument.annotation is not None and ast.unparse(argument.annotation) in ("Path", "Path | None"):
                    yield f"{node.name}({argument.arg})"


COMMANDS = "qfx.cli.app"
"""Whose arguments come from typer."""


@pytest.mark.parametrize("file", [file for file in sources() if module_name(file) != COMMANDS], ids=module_name)
def test_a_path_may_be_text(file: Path) -> None:
    assert list(wanting_path(ast.parse(file.read_text()))) == []


def test_the_rule_catches() -> None:
    text = "class A:\n    def __init__(self, x: Path): ...\n    def f(self, y: Path | None = None): ...\ndef _g(z: Path): ...\n"
    assert list(wanting_path(ast.parse(text))) == ["__init__(x)", "f(y)"]
