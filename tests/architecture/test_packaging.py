"""QFX installs three ways, and its simulator runs where NumPy is all there is.

The environments are made without a network: a bare venv that sees the packages of the one running the tests through
a path file (which does not carry its editable qfx along), or a link to NumPy alone.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "tests" / "architecture" / "smoke.py"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
INSTALL = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """The command's output; a failing command's output becomes the test's message."""
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def site_packages(environment: Path) -> Path:
    """Where `environment` keeps its packages."""
    return next(environment.glob("lib/python3*/site-packages"))


def borrowed(folder: Path) -> Path:
    """A venv that sees every package of this one except QFX itself; returns its Python."""
    venv.create(folder, with_pip=False)
    host = Path(str(importlib.util.find_spec("numpy").origin)).parents[1]  # type: ignore[union-attr]
    (site_packages(folder) / "borrowed.pth").write_text(f"{host}\n")
    return folder / "bin" / "python"


def numpy_alone(folder: Path) -> Path:
    """A venv with nothing but NumPy in it; returns its Python."""
    venv.create(folder, with_pip=False)
    host = Path(str(importlib.util.find_spec("numpy").origin)).parents[1]  # type: ignore[union-attr]
    for part in ("numpy", "numpy.libs"):
        (site_packages(folder) / part).symlink_to(host / part)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked and the new files of the working tree, as a clone would have them: links stay links."""
    folder = tmp_path_factory.mktemp("checkout")
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, folder / name
        if source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    """The wheel, built from the sdist, as `python -m build` does it."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", checkout / "dist", checkout)
    return next((checkout / "dist").glob("*.whl"))


def test_plain_install(checkout: Path, tmp_path: Path) -> None:
    python = borrowed(tmp_path / "venv")
    run(*PIP, "--python", python, *INSTALL, checkout, cwd=tmp_path)
    assert run(python, "-I", SMOKE, cwd=tmp_path).startswith(str(tmp_path / "venv"))


def test_editable_install(checkout: Path, tmp_path: Path) -> None:
    python = borrowed(tmp_path / "venv")
    run(*PIP, "--python", python, *INSTALL, "--editable", checkout, cwd=tmp_path)
    assert run(python, "-I", SMOKE, cwd=tmp_path).startswith(str(checkout))


def test_wheel_from_sdist(wheel: Path, tmp_path: Path) -> None:
    python = borrowed(tmp_path / "venv")
    run(*PIP, "--python", python, *INSTALL, wheel, cwd=tmp_path)
    assert run(python, "-I", SMOKE, cwd=tmp_path).startswith(str(tmp_path / "venv"))
    assert "Usage" in run(tmp_path / "venv" / "bin" / "qfx", "--help", cwd=tmp_path)


def test_simulator_with_numpy_alone(wheel: Path, tmp_path: Path) -> None:
    python = numpy_alone(tmp_path / "venv")
    run(*PIP, "--python", python, *INSTALL, wheel, cwd=tmp_path)
    assert run(python, "-I", SMOKE, "numpy-only", cwd=tmp_path).rstrip().endswith("ok")


def test_every_file_of_the_package_is_shipped(checkout: Path, wheel: Path) -> None:
    files = {path.relative_to(checkout / "qfx") for path in walk(checkout / "qfx")}
    shipped = {Path(name).relative_to("qfx") for name in zipfile.ZipFile(wheel).namelist() if name.startswith("qfx/")}
    assert shipped == files
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as sdist:
        inside = {Path(*Path(name).parts[1:]) for name in sdist.getnames()}
    assert {Path("qfx") / name for name in files} | {Path("LICENSE"), Path("README.md"), Path("pyproject.toml")} <= inside


def walk(folder: Path) -> list[Path]:
    """Every file below `folder`, links to folders followed."""
    found: list[Path] = []
    for path in folder.iterdir():
        found += walk(path) if path.is_dir() else [path]
    return [path for path in found if "__pycache__" not in path.parts]


def test_makefile_installs_only_pinned_packages() -> None:
    pins = {normal(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    text = (ROOT / "pyproject.toml").read_text()
    tables = re.findall(r"^(?:requires|dependencies|\w+) = \[(.*?)\]$", text.split("[project.scripts]")[0], re.M | re.S)
    named = {normal(name) for table in tables for name in re.findall(r'"([A-Za-z0-9._-]+)[\[><=]', table)}
    assert {"torch", "numpy", "setuptools", "ruff"} <= named
    assert named - {"qfx"} <= pins


def normal(name: str) -> str:
    """A package name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
