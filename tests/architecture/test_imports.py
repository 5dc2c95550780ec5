"""The import directions of docs/architecture.md, read from the sources.

Every import counts, also one inside a function, and one that only the type checker sees.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REAL_FOLDERS = ("qfx", "export", "sim", "boards", "hls_templates")
"""Where the package's sources lie; the links inside qfx/ are not followed."""

CORE = (
    "numpy",
    "qfx.checks",
    "qfx.arguments",
    "qfx.annotations",
    "qfx.exact",
    "qfx.fixed",
    "qfx.ir",
    "qfx.ops",
    "qfx.errors",
    "qfx.notebook",
)
FILES = ("qfx.workplace", "qfx.files", "qfx.cache", "qfx.records", "qfx.arrays")
ONLY = {
    "qfx.arguments": ("qfx.errors",),
    "qfx.fixed": CORE,
    "qfx.errors": CORE,
    "qfx.checks": CORE,
    "qfx.notebook": (),
    "qfx.models": ("torch", "qfx.models"),
    "qfx.ir": (*CORE, *FILES),
    "qfx.ops": CORE,
    "qfx.host": CORE,
    "qfx.exact": CORE,
    **dict.fromkeys(FILES, ("qfx.errors", *FILES)),
    "qfx.arrays": ("numpy", "qfx.errors", *FILES),
    "qfx.annotations": CORE,
    "qfx.sim": (*CORE, *FILES, "qfx.sim"),
}
"""Package -> all that it may import beside the standard library."""

NEVER = {
    "qfx": ("export", "sim", "boards", "hls_templates", "qfx.boards"),
    "qfx.export": ("qfx.sim", "qfx.engines", "qfx.project", "qfx.cli", "qfx.training", "qfx.models"),
    "qfx.frontend": ("onnx", "onnxruntime"),
    "qfx.nn": ("qfx.sim", "qfx.engines", "qfx.project", "qfx.cli", "onnx", "onnxruntime"),
    "qfx.quant": ("qfx.sim", "qfx.engines", "qfx.project", "qfx.cli", "qfx.nn", "onnx", "onnxruntime"),
    "qfx.engines": ("qfx.project", "qfx.cli"),
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
        ("sim/engine.py", "from qfx.frontend.lowering import lower", "qfx.frontend.lowering.lower"),
        ("sim/engine.py", "from ..export import onnx", "qfx.export.onnx"),
        ("qfx/ops/add.py", "def f():\n    import onnx", "onnx"),
        ("export/hls/wiring.py", "from qfx.sim import engine", "qfx.sim.engine"),
        ("export/hls/wiring.py", "from qfx import boards", "qfx.boards"),
        ("qfx/cli/app.py", "import sim.engine", "sim.engine"),
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


@functools.cache
def imports() -> Mapping[str, frozenset[str]]:
    """Per module of the library: the modules that it imports."""
    files = {module_name(file): file for file in sources()}
    return {
        module: frozenset(modules_of(ast.parse(file.read_text()), module, file.name == "__init__.py", files))
        for module, file in files.items()
    }


def modules_of(tree: ast.AST, module: str, is_package: bool, known: Mapping[str, object]) -> Iterator[str]:
    """Of the names that `tree` imports the modules they are, or lie in, among `known`; a module's own name left out."""
    for name in imported(tree, module, is_package):
        found = name if name in known else name.rpartition(".")[0]
        if found in known and found != module:
            yield found


def circles(graph: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """Sets of modules that import each other, directly or not: strongly connected components, each sorted (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    waiting: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        waiting.append(module)
        for other in sorted(graph[module]):
            if other not in order:
                visit(other)
            if other in waiting:
                low[module] = min(low[module], low[other])
        if low[module] == order[module]:
            component = waiting[waiting.index(module) :]
            del waiting[waiting.index(module) :]
            found.extend([sorted(component)] if len(component) > 1 else [])

    for module in graph:
        if module not in order:
            visit(module)
    return found


def test_no_modules_import_each_other() -> None:
    assert circles(imports()) == []


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a", "d"}}
    assert circles({module: frozenset(others) for module, others in graph.items()}) == [["d", "e"], ["a", "b", "c"]]


@pytest.mark.parametrize(
    "line", ["import qfx.nn", "def f():\n    from qfx import nn", "if TYPE_CHECKING:\n    from qfx.nn import Add"]
)
def test_every_import_counts(line: str) -> None:
    assert list(modules_of(ast.parse(line), "qfx.frontend.trace", False, imports())) == ["qfx.nn"]


def layers() -> list[tuple[str, ...]]:
    """The order of the packages, from the bottom, as docs/architecture.md has it; those in one line may import each other."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    block = re.search(r"from the bottom to the top[^\n]*\n\n((?:    [^\n]*\n)+)", text)
    assert block is not None
    return [tuple(line.split()) for line in block[1].splitlines()]


def layer(module: str) -> int:
    """Where a module stands, by its longest package that has a place; what has none, stands above all."""
    places = {package: index for index, packages in enumerate(layers()) for package in packages}
    within_package = [package for package in places if within(module, (package,)) and (package != "qfx" or module == "qfx")]
    return places[max(within_package, key=len)] if within_package else len(places)


def upward(graph: Mapping[str, frozenset[str]]) -> list[str]:
    """The imports of what stands higher."""
    places = {module: layer(module) for module in graph}
    return [f"{module} -> {other}" for module in graph for other in sorted(graph[module]) if places[other] > places[module]]


def test_modules_import_what_stands_lower() -> None:
    assert upward(imports()) == []


def test_imports_upwards_are_found() -> None:
    graph = {
        "qfx.frontend.trace": {"qfx.nn.layer", "qfx.quant"},
        "qfx.nn.layer": {"qfx.new"},
        "qfx.quant": set[str](),
        "qfx.new": set[str](),
    }
    found = upward({module: frozenset(others) for module, others in graph.items()})
    assert found == ["qfx.frontend.trace -> qfx.nn.layer", "qfx.nn.layer -> qfx.new"]


def test_every_layer_has_modules() -> None:
    assert [
        package for packages in layers() for package in packages if not any(within(module, (package,)) for module in imports())
    ] == []
