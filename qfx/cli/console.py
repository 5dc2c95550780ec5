"""What people see: tables on standard output, progress and messages on standard error."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import textwrap
from collections.abc import Generator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from qfx import records
from qfx.cli.lines import Lines, ticking
from qfx.files import check_writable
from qfx.ir import Graph
from qfx.progress import Progress as Report
from qfx.progress import silent

_WIDTH = 140
"""Columns where the output goes to a file or a pipe."""


_LEAST = 20
"""Columns of a wrapped line, at least, behind what it is moved in."""

MARK = ">"
"""Before the name of a row that a reader looks for."""

_MANY = 100
"""Parts from which a task shows how fast it goes."""


def out() -> Console:
    """Standard output, as wide as the terminal or as $COLUMNS says."""
    console = Console(highlight=False)
    return console if console.is_terminal or _asked_width() else Console(highlight=False, width=_WIDTH)


def _asked_width() -> bool:
    columns = os.environ.get("COLUMNS", "")
    return columns.isdecimal() and int(columns) > 0


def print_lines(text: str) -> None:
    """Lines on standard output, taken literally. Where there is a width, longer ones go on below, further in."""
    target = out()
    if not (target.is_terminal or _asked_width()):
        target.print(text, markup=False, soft_wrap=True)
        return
    for line in text.splitlines():
        inside = " " * (len(line) - len(line.lstrip()) + 6)
        width = max(target.width, len(inside) + _LEAST)
        target.print("\n".join(textwrap.wrap(line, width, subsequent_indent=inside)), markup=False, soft_wrap=True)


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def message(text: str) -> None:
    """A line or more on standard error, taken literally; what no encoding has is escaped."""
    err().print(text.encode(errors="backslashreplace").decode(), markup=False)


class _RateColumn(ProgressColumn):
    """Parts per second, of tasks with many parts."""

    def render(self, task: Task) -> Text:
        """The rate of late; nothing before it is known."""
        return Text(f"{task.speed:,.0f}/s" if task.speed and (task.total or 0) >= _MANY else "")


@contextlib.contextmanager
def progress_bars(quiet: bool) -> Generator[Report]:
    """Shows what is done, unless `quiet`: on a terminal a bar for every task at work, gone at its end; else plain lines."""
    console = err()
    if quiet:
        yield silent
        return
    if not sys.stderr.isatty() or console.is_dumb_terminal:  # a log, even where colours are asked for
        lines = Lines(message)
        with ticking(lines):
            yield lines.report
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), _RateColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(task: str, done: int, total: int) -> None:
            if task not in tasks:
                tasks[task] = bars.add_task(task, total=total)
            bars.update(tasks[task], completed=done, total=total, visible=done < total)

        yield report


def table(title: str, *columns: str, numbers: int = 0, dense: bool = False) -> Table:
    """A table whose last `numbers` columns are aligned right, and never folded as the others are.

    Args:
        dense: without lines between the columns, for many of them.
    """
    made = Table(title=title, title_justify="left", caption_justify="left")
    if dense:
        made.box, made.padding, made.pad_edge = SIMPLE_HEAD, 0, False
    for position, name in enumerate(columns):
        number = position >= len(columns) - numbers
        made.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=number)
    return made


def named(name: str, marked: bool = False) -> Text:
    """The name of a row, taken literally; of a marked one with a mark that needs no colour."""
    return Text(f"{MARK} {name}", "bold red") if marked else Text(name)


def write_json(document: dict[str, Any], target: str) -> None:
    """Write JSON to the file `target`, complete or not at all; `-` is standard output."""
    if target == "-":
        print(json.dumps(document, indent=1))
    else:
        records.write_json(target, document)


def check_json(target: str | None) -> None:
    """Whether `write_json` can write there, before the work."""
    if target not in (None, "-"):
        check_writable(target)


def print_host_steps(graph: Graph) -> None:
    """A line for each step of post-processing on the CPU."""
    for step in graph.host:
        out().print(f"post-processing on the CPU: {step.name} = {step.text()}", markup=False)


def plain() -> Console:
    """Keeps what is printed as text without colours, for `export_text`."""
    return Console(highlight=False, width=_WIDTH, record=True, file=io.StringIO(), force_terminal=False, soft_wrap=True)
