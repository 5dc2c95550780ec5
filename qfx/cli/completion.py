"""Completion of the command line in a shell, as typer has it: `qfx completion SHELL` prints what the shell is to source.

The shell then runs `qfx` with what was typed in the environment; `prepare` has typer answer it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import typer
from typer.completion import get_completion_inspect_parameters, shell_complete

from qfx.cli.exit_codes import AGREED
from qfx.errors import InputError

SHELLS = ("bash", "zsh", "fish")

VARIABLE = "_QFX_COMPLETE"
"""Set by the shell when it asks."""


def print_completion(shell: str, context: typer.Context) -> int:
    """Print the script of a shell for the command line of this context.

    Raises:
        InputError: there is none for this shell.
    """
    if shell not in SHELLS:
        raise InputError(f"there is no completion for {shell!r}; the shells are {', '.join(SHELLS)}")
    _register()
    shell_complete(context.find_root().command, {}, "qfx", VARIABLE, f"source_{shell}")
    return AGREED


def prepare() -> None:
    """To be called before the command line is parsed."""
    if VARIABLE in os.environ:
        _register()


def _register() -> None:
    """Makes typer's shells known, which it does by itself only for options of its own, `--install-completion` and more."""
    get_completion_inspect_parameters()


def one_of(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Completes one of these words."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def some_of(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Completes the last of several of these words with commas between."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        given = before.split(",")
        return [f"{before}{comma}{name}" for name in names if name.startswith(last) and name not in given]

    return complete
