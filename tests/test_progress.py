"""Progress without a terminal: plain lines, by a clock of the test's own."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

import pytest

from qfx.cli import console, lines
from qfx.cli.lines import SILENCE, TICK, Lines, ticking
from qfx.engines.protocol import Extent
from qfx.engines.recorded import record
from qfx.fixed import IntArray
from qfx.ir import Graph
from qfx.ops.sampling import random_codes
from qfx.progress import Progress, silent, step
from qfx.project import write_project
from qfx.sim import Simulator
from tests.networks import residual_network


class Clock:
    """Moves when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def log_of(steps: list[tuple[float, str, int, int]], until: float) -> list[str]:
    """The lines of tasks that are told at these seconds, with a tick every TICK seconds."""
    clock, written = Clock(), list[str]()
    shown = Lines(written.append, clock)
    for index in range(int(until / TICK) + 1):
        clock.now = 100 + index * TICK
        for _, task, done, total in [item for item in steps if item[0] == index * TICK]:
            shown.report(task, done, total)
        shown.tick()
    return written


def test_a_long_step_is_named_and_then_said_to_be_alive() -> None:
    steps = [
        (0.0, "prepare sim", 0, 1),
        (0.5, "prepare csim: g++ compiles the C++", 0, 1),
        (20.0, "compare", 0, 360),
        (22.0, "compare", 90, 360),
    ]
    assert log_of(steps, 30) == [
        "[   2 s] prepare csim: g++ compiles the C++",
        "[   8 s] prepare csim: g++ compiles the C++",
        "[  14 s] prepare csim: g++ compiles the C++",
        "[  20 s] prepare csim: g++ compiles the C++",
        "[  21 s] compare, 0 of 360",
        "[  27 s] compare, 90 of 360",
    ]


def test_short_work_says_nothing_and_many_short_steps_are_alive() -> None:
    assert log_of([(0.0, "read", 0, 1), (0.5, "compare", 0, 10)], 1.0) == []
    found = log_of([(index / 2, f"layer {index}", 0, 1) for index in range(60)], 29.5)
    assert found == ["[   6 s] layer 12", "[  12 s] layer 24", "[  18 s] layer 36", "[  24 s] layer 48"]


def test_no_ten_seconds_are_silent() -> None:
    assert SILENCE + TICK < 10
    work = [(0.0, "start", 0, 1), (3.0, "one", 0, 9), (64.5, "one", 8, 9), (65.0, "two", 0, 1)]
    at = [float(line[1:5]) for line in log_of(work, 200)]
    assert max(later - before for before, later in zip([0.0, *at], [*at, 200.0], strict=True)) < 10


def test_the_thread_ticks_until_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "TICK", 0.001)
    ticked = threading.Event()

    class Ticks(Lines):
        def tick(self) -> None:
            ticked.set()
            raise BrokenPipeError("nobody reads")

    with ticking(Ticks(lambda line: None)):
        assert ticked.wait(10)
    assert not [thread for thread in threading.enumerate() if thread.name == "qfx progress"]


def test_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where colours are asked for, as some CI systems do, and on a terminal that cannot move its cursor."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with console.progress_bars(quiet=False) as told:
        assert isinstance(getattr(told, "__self__", None), Lines)
    with console.progress_bars(quiet=True) as told:
        assert told is silent
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with console.progress_bars(quiet=False) as told:
        assert not isinstance(getattr(told, "__self__", None), Lines)
    monkeypatch.setenv("TERM", "dumb")
    with console.progress_bars(quiet=False) as told:
        assert isinstance(getattr(told, "__self__", None), Lines)


def test_a_bar_is_there_while_its_task_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.progress_bars(quiet=False) as told:
        told("prepare csim", 0, 1)
        told("prepare csim", 1, 1)
        told("compare", 0, 3)
    shown = stream.getvalue()
    assert "prepare csim" in shown and "0/3" in shown and "1/1" not in shown


def test_a_step_that_fails_is_not_done() -> None:
    told: list[tuple[str, int, int]] = []
    with pytest.raises(KeyError), step(lambda task, done, total: told.append((task, done, total)), "read"):
        raise KeyError("x")
    assert told == [("read", 0, 1)]


def test_every_long_step_of_an_export_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, told = residual_network(), list[tuple[str, int, int]]()

    def record_simulator(graph: Graph, _: object, codes: IntArray, file: Path, extent: Extent, progress: Progress) -> None:
        record(graph, Simulator(graph), codes, 60, file, extent, progress)

    monkeypatch.setattr("qfx.project.write._record_torch", record_simulator)
    images = random_codes(graph.values["x"].type, (110, 2, 5, 6), 3)
    write_project(graph, tmp_path / "net", images, object(), progress=lambda task, done, total: told.append((task, done, total)))  # pyright: ignore[reportArgumentType]
    layers = len(graph.nodes)
    assert told == [
        ("simulate the recorded samples", 0, 110),
        ("simulate the recorded samples", 110, 110),
        ("record the values of sim", 0, 110),
        ("record the values of sim", 60, 110),
        ("record the values of sim", 110, 110),
        *(("compress the recorded values, layer by layer", index, layers) for index in range(layers + 1)),
        ("write the graph and the ONNX model", 0, 1),
        ("write the graph and the ONNX model", 1, 1),
        ("write the C++", 0, 1),
        ("write the C++", 1, 1),
    ]
