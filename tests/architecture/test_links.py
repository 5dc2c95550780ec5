"""The folders beside qfx/ are imported through its links: what happens without links, and past them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINKS = ("boards", "export", "hls_templates", "sim")


def error(program: str, folder: Path) -> str:
    """Last line of what a program that fails says."""
    result = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    return result.stderr.splitlines()[-1]


def test_a_copy_without_links_says_so(tmp_path: Path) -> None:
    """As a zip archive is unpacked on Windows: a text file with the target in place of each link."""
    (tmp_path / "qfx").mkdir()
    shutil.copy(ROOT / "qfx" / "__init__.py", tmp_path / "qfx")
    for name in LINKS:
        target = (ROOT / "qfx" / name).readlink()
        (tmp_path / "qfx" / name).write_text(target.as_posix())
    message = error("import qfx.export", tmp_path)
    assert message.startswith(
        f"ImportError: {tmp_path / 'qfx' / 'export'} is a text file where a link to the folder ../export should be"
    )
    assert "made without symbolic links" in message and "install a wheel or a source distribution" in message
    assert "git clone -c core.symlinks=true" in message


@pytest.mark.parametrize("name", ["export", "sim"])
def test_a_folder_is_not_imported_twice(name: str) -> None:
    wanted = f"ImportError: import qfx.{name}, not {name}: that would be a second copy of the same modules, with classes of its own"
    assert error(f"import {name}", ROOT) == wanted
    assert error(f"import {name}.engine" if name == "sim" else f"import {name}.lower", ROOT) == wanted
