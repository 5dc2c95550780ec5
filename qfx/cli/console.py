"""What people see: tables on standard output, progress and messages on standard error."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Generator
from typing import Any

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
from qfx.ir import Graph
from qfx.progress import Progress as Report
from qfx.progress import silent

_WIDTH = 140
"""Columns where the output goes to a file or a pipe."""


_MANY = 100
"""Parts from which a task shows how fast it goes."""


def out() -> Console:
    """Standard output."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def message(text: str) -> None:
    """A line or more on standard error, taken literally."""
    err().print(text, markup=False)


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


def table(title: str, *columns: str, numbers: int = 0) -> Table:
    """A table whose last `numbers` columns are aligned right."""
    made = Table(title=title, title_justify="left")
    for position, name in enumerate(columns):
        made.add_column(name, justify="right" if position >= len(columns) - numbers else "left", overflow="fold")
    return made


def write_json(document: dict[str, Any], target: str) -> None:
    """Write JSON to the file `target`, complete or not at all; `-` is standard output."""
    if target == "-":
        print(json.dumps(document, indent=1))
    else:
        records.write_json(target, document)


def print_host_steps(graph: Graph) -> None:
    """A line for each step of post-processing on the CPU."""
    for step in graph.host:
        out().print(f"post-processing on the CPU: {step.name} = {step.text()}", markup=False)


def plain() -> Console:
    """Keeps what is printed as text without colours, for `export_text`."""
    return Console(highlight=False, width=_WIDTH, record=True, file=io.StringIO(), force_terminal=False, soft_wrap=True)
