"""`qfx.doctor` and `qfx doctor`: what is here, what is missing, what to do."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

import qfx
from qfx import diagnosis
from qfx.cli.app import app
from qfx.diagnosis import EXTRAS, PACKAGES, Check, Diagnosis
from qfx.quant import kernel

PROJECT = (Path(__file__).parents[1] / "pyproject.toml").read_text()


def found(name: str) -> Check:
    return next(check for check in qfx.doctor().checks if check.name == name)


def never(path: object, mode: int) -> bool:
    """For `os.access`, where root may write everywhere."""
    return False


def named(key: str) -> set[str]:
    """Packages that a list of pyproject.toml names, without those that one Python alone needs."""
    listed = re.search(rf"^{key} = \[(.*?)\]$", PROJECT, re.M | re.S)
    assert listed is not None
    return {re.split(r"[><=]", entry)[0] for entry in re.findall(r'"([^"]*)"', listed[1]) if "python_version" not in entry}


def test_packages_are_those_of_the_project() -> None:
    assert set(PACKAGES) == named("dependencies")


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_are_those_of_the_project(extra: str) -> None:
    assert set(EXTRAS[extra]) == named(extra)


def test_every_extra_for_users_is_looked_for() -> None:
    section = PROJECT.split("[project.optional-dependencies]")[1].split("\n[")[0]
    assert set(re.findall(r"^(\w+) = \[", section, re.M)) - {"bench", "docs", "test"} == set(EXTRAS)


def test_what_is_here() -> None:
    assert found("QFX").found.startswith(qfx.__version__)
    assert found("numpy") == Check("numpy", True, metadata.version("numpy"))


def test_a_package_that_is_missing_or_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "PACKAGES", ("numpy", "nothing-of-this-name"))
    assert found("nothing-of-this-name") == Check(
        "nothing-of-this-name", False, "not installed", advice="pip install nothing-of-this-name"
    )
    monkeypatch.setattr(diagnosis, "PACKAGES", ("broken-package",))
    monkeypatch.setattr(metadata, "version", str)
    broken = found("broken-package")
    assert broken.found == "broken-package cannot be imported: No module named 'broken-package'"
    assert broken.advice == "pip install --force-reinstall broken-package"


def test_no_compiler_and_no_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("QFX_AP_TYPES", str(tmp_path))
    compiler, headers = found("C++ compiler"), found("ap_types headers")
    assert compiler.found == "no C++ compiler for C simulation: 'no-such-compiler' is not on PATH"
    assert compiler.advice == "install g++ or set CXX"
    assert headers.advice.startswith("pip install --no-deps hls4ml, or set QFX_AP_TYPES")
    assert compiler.state == headers.state == "missing"
    assert not qfx.doctor().complete
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 3
    assert "missing  C++ compiler" in result.stdout


def test_what_can_be_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFX_KERNEL", "0")
    with kernel.using(False):
        check = found("CPU kernel")
    assert (check.state, check.found, check.advice) == ("absent", "the kernel is switched off", "unset QFX_KERNEL to use it")
    monkeypatch.setattr(diagnosis, "EXTRAS", {"more": ("nothing-of-this-name",)})
    assert found("extra more") == Check("extra more", False, "nothing-of-this-name not installed", False, "pip install 'qfx[more]'")


def test_a_cache_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QFX_CACHE", str(tmp_path / "new" / "one"))
    assert found("cache folder") == Check("cache folder", True, str(tmp_path / "new" / "one"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("QFX_CACHE", str(tmp_path / "file"))
    assert found("cache folder").found == f"QFX_CACHE names {tmp_path / 'file'}, which is no directory"
    monkeypatch.setenv("QFX_CACHE", str(tmp_path))
    monkeypatch.setattr("os.access", never)
    assert (found("cache folder").state, found("cache folder").found) == ("absent", f"{tmp_path} cannot be written")


def test_it_prints_a_line_for_each_check() -> None:
    found = Diagnosis((Check("one", True, "1.0"), Check("another", False, "not there", advice="get it")))
    assert repr(found).splitlines() == ["ok       one      1.0", "missing  another  not there; get it"]
    assert "<td>get it</td>" in found._repr_html_()  # pyright: ignore[reportPrivateUsage]


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_checks", lambda: iter([Check("one", True, "1.0"), Check("two", False, "none", needed=False)]))
    result = CliRunner().invoke(app, ["doctor"])
    assert (result.exit_code, result.stdout) == (0, "ok      one  1.0\nabsent  two  none\n")
