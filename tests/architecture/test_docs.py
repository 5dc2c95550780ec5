"""What the documentation says, held against the code."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qfx.fixed import Overflow, Rounding
from qfx.ops import OPS

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
IR = (ROOT / "docs" / "ir.md").read_text()


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def section(kind: str) -> str:
    """The text under `## kind` of docs/ir.md."""
    found = re.search(rf"^## {kind}\n(.*?)(?=^## |\Z)", IR, re.M | re.S)
    assert found, f"docs/ir.md has no section '## {kind}'"
    return found.group(1)


@pytest.mark.parametrize("kind", OPS)
def test_every_op_is_on_the_page(kind: str) -> None:
    op, text = OPS[kind], section(kind)
    fields = [field.name for field in dataclasses.fields(op)]  # type: ignore[arg-type]
    operands = [name.rstrip("?") for name in op.operand_names]
    assert [name for name in (*fields, *operands) if f"`{name}`" not in text] == []


def test_the_page_has_no_op_too_many() -> None:
    sections = re.findall(r"^## ([a-z0-9_]+)$", IR, re.M)
    assert sections == sorted(OPS)


def test_modes_are_on_the_page() -> None:
    rows = re.findall(r"^\| `(AP_\w+)` \|", section("requantize"), re.M)
    assert rows == [mode.value for mode in (*Rounding, *Overflow)]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [target for target in targets if not target.startswith(("http://", "https://"))]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_named_files_exist(page: Path) -> None:
    folders = r"(?:qfx|export|sim|hls_templates|boards|tests|benchmarks|examples|docs)"
    named = re.findall(rf"`({folders}/[\w./-]*\w)/?`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_property_has_tests_that_exist() -> None:
    rows = re.findall(r"^\| (\d+)\. [^|]+\|([^|]+)\|$", (ROOT / "docs" / "guides" / "train.md").read_text(), re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 15))
    for number, tests in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", tests)
        assert named, number
        assert [name for file, name in named if f"\ndef {name}(" not in (ROOT / file).read_text()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_make_targets_exist(page: Path) -> None:
    makefiles = [ROOT / "Makefile", ROOT / "hls_templates" / "project" / "Makefile.j2"]  # ours, and an exported project's
    targets = {target for file in makefiles for target in re.findall(r"^([a-z-]+):", file.read_text(), re.M)}
    assert set(re.findall(r"(?:`|^ {4}|^)make ([a-z-]+)", page.read_text(), re.M)) - targets == set()


def usage(*arguments: str) -> str:
    """What `qfx ... --help` prints."""
    program = "import sys; from qfx.cli import main; sys.argv = ['qfx', *sys.argv[1:], '--help']; main()"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_commands_and_options_exist() -> None:
    found = [match for page in PAGES for match in re.findall(r"(?:`|^ {4}|bin/)qfx ([a-z]+)\b([^`\n]*)", page.read_text(), re.M)]
    named = {command: set[str]() for command, _ in found}
    for command, rest in found:
        named[command] |= set(re.findall(r"--[a-z-]+", rest))
    assert {"demo", "export", "simulate", "verify", "info"} <= named.keys()
    for command, options in named.items():
        text = usage(command)
        assert [option for option in options if option not in text] == []


WITH_EXAMPLES = [page for page in PAGES if EXAMPLE.search(page.read_text())]


def run_examples(page: Path, folder: Path) -> None:
    """The ```python blocks of a page, one after the other."""
    program = "\n".join(EXAMPLE.findall(page.read_text()))
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", program]
    result = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=page_id)
def test_python_examples_run(page: Path, tmp_path: Path) -> None:
    run_examples(page, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=page_id)
def test_python_examples_run_twice_in_one_folder(page: Path, tmp_path: Path) -> None:
    for _ in range(2):
        run_examples(page, tmp_path)


def test_results_name_command_and_date() -> None:
    entries = re.split(r"^## ", (ROOT / "docs" / "results.md").read_text(), flags=re.M)[1:]
    faulty = [entry.splitlines()[0] for entry in entries if not re.search(r"\d{4}-\d{2}-\d{2}", entry) or "`" not in entry]
    assert faulty == []
