"""The import directions of docs/architecture.md, read from the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REAL_FOLDERS = ("qfx", "export", "sim", "boards", "hls_templates")
"""Where the package's sources lie; the links inside qfx/ are not followed."""

CORE = ("numpy", "qfx.exact", "qfx.fixed", "qfx.ir", "qfx.ops", "qfx.errors")
ONLY = {
    "qfx.fixed": CORE,
    "qfx.errors": CORE,
    "qfx.ir": CORE,
    "qfx.ops": CORE,
    "qfx.host": CORE,
    "qfx.exact": CORE,
    "qfx.sim": (*CORE, "qfx.sim"),
}
"""Package -> all that it may import beside the standard library."""

NEVER = {
    "qfx": ("export", "sim", "boards", "hls_templates", "qfx.boards"),
    "qfx.export": ("qfx.sim", "qfx.verify", "qfx.cli", "qfx.training", "qfx.models"),
    "qfx.nn": ("qfx.sim", "qfx.verify", "qfx.cli", "onnx", "onnxruntime"),
    "qfx.quant": ("qfx.sim", "qfx.verify", "qfx.cli", "qfx.nn", "onnx", "onnxruntime"),
}
"""Package -> what no module in it may import."""


def sources() -> list[Path]:
    """Every Python file of the package, each once, in its real folder."""
    files = [file for folder in REAL_FOLDERS for file in (ROOT / folder).rglob("*.py")]
    return [file for file in files if file.relative_to(ROOT).parts[:2] not in {("qfx", name) for name in REAL_FOLDERS}]


def module_name(file: Path) -> str:
    """`sim/engine.py` -> `qfx.sim.engine`, as it installs."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "qfx" else ("qfx", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Dotted names of everything that `tree` imports, anywhere in it, relative imports resolved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def within(name: str, packages: tuple[str, ...]) -> bool:
    """Whether dotted `name` is one of `packages` or lies below one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def violations(file: Path, source: str) -> list[str]:
    """What `file` imports against the rules."""
    module = module_name(file)
    names = set(imported(ast.parse(source), module, file.name == "__init__.py"))
    bad: set[str] = set()
    for package, allowed in ONLY.items():
        if within(module, (package,)):
            bad |= {name for name in names if name.split(".")[0] not in sys.stdlib_module_names and not within(name, allowed)}
    for package, banned in NEVER.items():
        if within(module, (package,)):
            bad |= {name for name in names if within(name, banned)}
    return sorted(bad)


@pytest.mark.parametrize("file", sources(), ids=module_name)
def test_import_directions(file: Path) -> None:
    assert violations(file, file.read_text()) == []


@pytest.mark.parametrize(
    ("file", "line", "found"),
    [
        ("sim/engine.py", "import torch", "torch"),
        ("sim/engine.py", "from qfx.export.lower import lower", "qfx.export.lower.lower"),
        ("sim/engine.py", "from ..export import lower", "qfx.export.lower"),
        ("qfx/ops/add.py", "def f():\n    import onnx", "onnx"),
        ("export/hls/plan.py", "from qfx.sim import engine", "qfx.sim.engine"),
        ("export/hls/plan.py", "from qfx import boards", "qfx.boards"),
        ("qfx/cli.py", "import sim.engine", "sim.engine"),
    ],
)
def test_the_rules_catch(file: str, line: str, found: str) -> None:
    assert violations(ROOT / file, line) == [found]


def test_every_rule_has_modules() -> None:
    names = [module_name(file) for file in sources()]
    assert [package for package in {**ONLY, **NEVER} if not any(within(name, (package,)) for name in names)] == []


@pytest.mark.parametrize("module", ["qfx", "qfx.ops", "qfx.ir", "qfx.sim.engine"])
def test_import_without_torch(module: str) -> None:
    program = f"import sys, {module}; print(*sorted({{'torch', 'onnx', 'onnxruntime', 'typer'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
