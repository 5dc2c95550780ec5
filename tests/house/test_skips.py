"""The skip policy of tests/conftest.py, tried on a small test folder of its own."""

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
"""


def run_pytest(folder: Path, *arguments: str, ci: str = "true") -> subprocess.CompletedProcess[str]:
    """pytest in a folder with the policy and three tests: one runs, one is skipped, one is long."""
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = full: long\n")
    (folder / "test_three.py").write_text(TESTS)
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
    assert "1 passed, 1 skipped, 1 deselected" in run_pytest(tmp_path, ci="").stdout
    assert "2 passed, 1 skipped" in run_pytest(tmp_path, "--full", ci="").stdout
