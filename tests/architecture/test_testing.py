"""`qfx.testing` is for users and benchmarks, too: it is complete by itself, and needs no test runner."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from qfx.ops import OPS
from qfx.testing.graphs import MAKERS

ROOT = Path(__file__).parents[2]
MODULES = sorted(file.stem for file in (ROOT / "qfx" / "testing").glob("*.py") if file.stem != "__init__")
FOLDERS = ("qfx", "export", "sim", "benchmarks", "examples")


def imports(file: Path) -> set[str]:
    """Modules that a file imports, anywhere in it."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def files_that_import(package: str, folders: tuple[str, ...]) -> list[str]:
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    found = [file for file in files if any(f"{name}.".startswith(f"{package}.") for name in imports(file))]
    return [file.relative_to(ROOT).as_posix() for file in found]


@pytest.mark.parametrize("kind", OPS)
def test_every_op_has_a_maker(kind: str) -> None:
    assert kind in MAKERS, f"random graphs lack {kind}: register a maker with `makes` in qfx/testing/graphs.py"


def test_no_maker_is_of_another_op() -> None:
    assert MAKERS.keys() <= OPS.keys()


def test_nothing_imports_the_tests() -> None:
    assert files_that_import("tests", FOLDERS) == []


def test_the_library_does_not_import_it() -> None:
    found = files_that_import("qfx.testing", ("qfx", "export", "sim"))
    assert [file for file in found if not file.startswith("qfx/testing/")] == []


def test_it_needs_no_test_runner() -> None:
    """Only `qfx.testing.strategies` needs hypothesis, and none pytest."""
    names = ", ".join(f"qfx.testing.{name}" for name in MODULES if name != "strategies")
    program = f"import sys, {names}; print(*sorted({{'pytest', 'hypothesis'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_the_package_names_its_modules() -> None:
    text = (ROOT / "qfx" / "testing" / "__init__.py").read_text()
    assert [name for name in MODULES if f"| `{name}` |" not in text] == []
