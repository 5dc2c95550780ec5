"""`module:factory`: what a user's code may do, and what is said of it when it fails. Each runs in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NET = """
from torch import nn
from qfx import nn as qnn
from qfx.fixed import FixedType
from qfx.quant import QuantSpec
import os, sys

def net():
    spec = QuantSpec(5, frac=4, learn=False)
    return nn.Sequential(qnn.QuantInput(type=FixedType(False, 4, 2)), qnn.Linear(6, 3, weight=spec, bias=spec))
"""
SAY = "from qfx.cli.factory import make_model; import sys; print(type(make_model(sys.argv[1])).__name__, __import__('os').getcwd())"


def make(home: Path, spec: str, code: str = NET, file: str = "mine.py") -> subprocess.CompletedProcess[str]:
    """`make_model(spec)`, where `file` holds the code."""
    (home / file).parent.mkdir(parents=True, exist_ok=True)
    (home / file).write_text(code)
    command = [sys.executable, "-c", f"import sys; sys.path.pop(0); {SAY}", spec]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, timeout=120)


def error(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1
    return result.stderr.strip().splitlines()[-1].removeprefix("qfx.errors.InputError: ")


def test_it_may_go_elsewhere_print_and_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("SIZE = 6")
    lines = ("import neighbour", "print('hello')", "def make():", "    print('made')", "    os.chdir('/')", "    return net()")
    code = "\n".join((NET, *lines))
    result = make(tmp_path, "mine:make", code)
    assert result.stdout == f"Sequential {tmp_path}\n"
    assert "hello\nmade\n" in result.stderr


@pytest.mark.parametrize(
    ("file", "spec"), [("my models.py", "my models:net"), ("my folder/my nets.py", "my folder/my nets.py:net")]
)
def test_a_file(tmp_path: Path, file: str, spec: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).with_name("beside.py").write_text("")
    result = make(tmp_path, spec, f"import beside\n{NET}", file)
    assert result.stdout.startswith("Sequential ")


FAILURES = [
    ("def make(): raise KeyError('no such layer')", "mine:make() failed: KeyError: 'no such layer' ({file}:1)"),
    ("import sys\ndef make(): sys.exit(3)", "mine:make() failed: SystemExit: 3 ({file}:2)"),
    ("import torch\ndef make():\n    return torch.nn.Linear(-1, 2)", "mine:make() failed: RuntimeError: "),
    ("def make(width): pass", "mine:make() failed: TypeError: make() missing 1 required positional argument: 'width'"),
    ("import nowhere", "importing mine failed: ModuleNotFoundError: No module named 'nowhere' ({file}:1)"),
    ("def make(:", "importing mine failed: SyntaxError: "),
    ("class make: pass", "what mine:make() made is a make; a torch.nn.Module is wanted, made: an object, not its class"),
    ("import torch\ndef make(): return torch.nn.Linear", "what mine:make() made is the class Linear; a torch.nn.Module is wanted"),
    ("import torch\nmake = torch.nn.Linear(1, 1)", "mine:make is a network; name a function without arguments that makes it"),
    ("def makes(): pass", "module mine has no function make (did you mean makes?)"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "message"), FAILURES)
def test_what_fails_is_named_with_the_users_line(tmp_path: Path, code: str, message: str) -> None:
    assert error(make(tmp_path, "mine:make", code)).startswith(message.format(file=tmp_path / "mine.py"))


def test_there_is_no_such_file(tmp_path: Path) -> None:
    assert error(make(tmp_path, "none.py:net")) == "'none.py:net' does not name a model: there is no file none.py"
