"""The skip policy of tests/conftest.py and its choices of tests, tried on a small test folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="for the test of the policy")
def test_skipped():
    pass

@pytest.mark.full
def test_long():
    pass

@pytest.mark.slow
def test_slow():
    pass
"""

COMPILING = """
import os

class CSimulator:
    pass

def test_in_a_module_that_compiles():
    pass
"""


def run_pytest(folder: Path, *arguments: str, ci: str = "true") -> subprocess.CompletedProcess[str]:
    """pytest in a folder with the policy and five tests: one runs, one is skipped, one is long, one slow, one compiles."""
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  full: long\n  slow: slow\n  compiler: compiles\n")
    (folder / "test_three.py").write_text(TESTS)
    (folder / "test_compiling.py").write_text(COMPILING)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env={**environment, "CI": ci}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["plain", "xdist"])
def test_unlisted_skip_fails_in_ci(tmp_path: Path, workers: tuple[str, ...]) -> None:
    result = run_pytest(tmp_path, *workers)
    assert result.returncode == 1
    assert "skipped, but not listed in tests/allowed_skips.txt: test_three.py::test_skipped" in result.stdout


def test_skipped_module_fails_in_ci(tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_module_anywhere')\n")
    result = run_pytest(tmp_path, "--deselect", "test_three.py::test_skipped")
    assert result.returncode == 1
    assert "allowed_skips.txt: test_module.py" in result.stdout


def test_listed_skip_passes_in_ci(tmp_path: Path) -> None:
    (tmp_path / "allowed_skips.txt").write_text("# why\ntest_three.py::test_skipped\n")
    assert run_pytest(tmp_path).returncode == 0


def test_skip_passes_outside_ci(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, ci="").returncode == 0


def test_long_tests_run_on_request_only(tmp_path: Path) -> None:
    assert "3 passed, 1 skipped, 1 deselected" in run_pytest(tmp_path, ci="").stdout
    assert "4 passed, 1 skipped" in run_pytest(tmp_path, "--full", ci="").stdout


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["plain", "xdist"])
def test_quick_runs_leave_out_compilers_and_what_is_slow(tmp_path: Path, workers: tuple[str, ...]) -> None:
    """A skip is no failure there, even in CI; and what compiles without a mark finds no compiler."""
    (tmp_path / "test_unmarked.py").write_text(
        "import os\nimport shutil\ndef test_no_compiler():\n    assert shutil.which(os.environ['CXX']) is None\n"
    )
    result = run_pytest(tmp_path, "--quick", *workers)
    assert result.returncode == 0 and "2 passed, 1 skipped" in result.stdout
