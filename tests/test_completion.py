"""Completion in shells, and choices in `--help`: what is offered is what is taken."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from qfx.cli import app as command_line
from qfx.cli.app import app
from qfx.cli.completion import SHELLS, some_of
from qfx.engines.chunks import output_chunks
from qfx.engines.recorded import extent_of
from qfx.errors import InputError
from qfx.export import accelerator
from qfx.export.hls.board import board_names
from qfx.project import ENGINES
from tests.networks import residual_network
from tests.test_cli import QFX, qfx


def test_choices_are_those_of_who_checks_them() -> None:
    assert list(command_line.BOARDS) == board_names()
    assert command_line.ENGINES == ENGINES
    assert (command_line.FOLDINGS, command_line.PRODUCTS) == (accelerator.FOLDINGS, accelerator.PRODUCTS)
    for name in command_line.RECORDS:
        extent_of(name)
    with pytest.raises(InputError, match=f"the engines are {', '.join(command_line.FAST_ENGINES)}$"):
        next(output_chunks(residual_network(), {}, "none"))


@pytest.mark.parametrize(
    ("command", "choices"),
    [
        ("export", ["[ultra96|zcu104]", "[fastest|plain]", "NODE=[dsp|packed|lut|khot]", "[32|64|128]", "[all|outputs|N]"]),
        ("simulate", ["[sim|onnx]"]),
        ("completion", ["[bash|zsh|fish]"]),
    ],
)
def test_help_shows_choices_as_choices(command: str, choices: list[str]) -> None:
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
    assert [choice for choice in choices if choice not in text] == []


def test_an_option_that_names_words_shows_them_as_a_choice() -> None:
    """Every option whose completion is a fixed list shows that list, in its choice or in its help."""
    for command in typer.main.get_group(app).commands.values():
        for parameter in command.params:
            complete = getattr(parameter, "_custom_shell_complete", None)
            if complete is None:
                continue
            words = [item if isinstance(item, str) else item.value for item in complete(None, parameter, "")]
            told = f"{parameter.metavar} {getattr(parameter, 'help', '')}"
            assert words and all(word in re.findall(r"[a-z0-9]+", told) for word in words), (command.name, parameter.name)


def test_the_last_of_several_words() -> None:
    complete = some_of(("torch", "sim", "onnx"))
    assert complete("") == ["torch", "sim", "onnx"]
    assert complete("sim,") == ["sim,torch", "sim,onnx"] and complete("sim,o") == ["sim,onnx"] and complete("sim,s") == []


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The completion of bash."""
    home = tmp_path_factory.mktemp("home")
    file = home / "completion.bash"
    file.write_text(qfx("completion", "bash", cwd=home).stdout)
    return file


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("qfx es", "estimate"),
        ("qfx verify --engines torch,s", "torch,sim"),
        ("qfx export --board u", "ultra96"),
        ("qfx simulate --ho", "--host"),
    ],
)
def test_bash_completes(script: Path, words: str, wanted: str) -> None:
    """The script in bash itself, as bash calls its function."""
    typed = f"COMP_WORDS=({words}); COMP_CWORD={len(words.split()) - 1}"
    asked = f'source {script}; {typed}; _qfx_completion {QFX}; echo "${{COMPREPLY[*]}}"'
    found = subprocess.run(["bash", "--norc", "-c", asked], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == (f"{wanted}\n", "")


def test_zsh_and_fish_ask_what_is_answered(tmp_path: Path) -> None:
    """As their scripts ask; neither shell is needed here."""
    assert "_QFX_COMPLETE=complete_zsh" in qfx("completion", "zsh", cwd=tmp_path).stdout
    asked = {"_QFX_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "qfx simulate --engine o"}
    assert qfx(cwd=tmp_path, environment=asked).stdout == "_arguments '*: :((\"onnx\"))'\n"
    assert "_QFX_COMPLETE=complete_fish" in qfx("completion", "fish", cwd=tmp_path).stdout
    asked = {"_QFX_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": "qfx completion "}
    assert qfx(cwd=tmp_path, environment=asked).stdout.split() == list(SHELLS)


def test_a_shell_without_completion(tmp_path: Path) -> None:
    message = "error: there is no completion for 'tcsh'; the shells are bash, zsh, fish"
    assert message in qfx("completion", "tcsh", cwd=tmp_path, code=2).stderr
