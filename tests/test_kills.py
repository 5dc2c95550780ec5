"""Commands killed at their operations on files: the target is the old thing, the new one or nothing, and a rerun leaves no trace.

`make test-full` kills each command at many operations, `make test` at a few.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import qfx
from qfx.fixed import FixedType
from qfx.ir import GraphBuilder
from qfx.ops import ReLU, Shift
from tests.error_models import Net

HERE = Path(__file__).parent

Content = dict[str, bytes] | None
"""Relative path -> content; None where there is nothing."""

TIMED = re.compile(r"(r|run/verify)\.(json|xml|txt)")
"""Files that may say how long something took."""


@dataclass(frozen=True)
class Command:
    """A command of tests/killing.py.

    Attributes:
        targets: what it writes.
        kills: at how many operations it is killed, all runs together 200 or more; the last ones, where things take their place,
            and others evenly.
        sample: at how many without --full.
        sizes: of a file that it is killed at, in the middle of a write.
    """

    targets: tuple[str, ...]
    kills: int
    sample: int
    sizes: tuple[int, ...] = ()

    def points(self, operations: int, full: bool) -> list[int]:
        wanted = self.kills if full else self.sample
        if wanted >= operations:
            return list(range(operations))
        last = range(operations - wanted // 2, operations)
        others = np.linspace(0, operations - 1, wanted - len(last) + 2)[1:-1] if wanted > 1 else [0]
        return sorted({*last, *(int(place) for place in others)})


COMMANDS = {
    "export": Command(("a/out",), 36, 1, (100, 3000)),
    "overwrite": Command(("project",), 50, 4, (100, 3000)),
    "verify": Command(("r.json", "r.xml", "r.txt"), 20, 1, (100,)),
    "verify with csim": Command(("r.json", "r.xml", "r.txt"), 20, 0, (100,)),
    "simulate": Command(("y.npy",), 16, 1, (100,)),
    "simulate two": Command(("y.npz",), 20, 1, (100,)),
    "demo": Command(("run",), 20, 0, (3000,)),
    "save": Command(("net.qfx",), 9, 2, (100,)),
    "store": Command(("cache",), 10, 1, (100,)),
}


class Runner:
    """Runs and kills commands, each in a copy of one folder."""

    def __init__(self, template: Path, server: subprocess.Popen[str]) -> None:
        self._template, self._server = template, server

    def home(self) -> Path:
        """A fresh copy, always at the same path, which graphs name as the source of their nodes."""
        home = self._template.with_name("home")
        shutil.rmtree(home, ignore_errors=True)
        return Path(shutil.copytree(self._template, home))

    def run(self, home: Path, case: str, operation: int | None = None, size: int | None = None) -> dict[str, Any]:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps({"home": str(home), "case": case, "operation": operation, "bytes": size}) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def well(self, home: Path, case: str) -> int:
        """Run it to its end; how many operations it took."""
        answer = self.run(home, case)
        assert answer["status"] == 0, answer["errors"]
        return answer["operations"]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Generator[Runner]:
    template = tmp_path_factory.mktemp("kills") / "template"
    for name in ("tmp", "cache"):
        (template / name).mkdir(parents=True)
    shutil.copy(HERE / "error_models.py", template)
    torch.manual_seed(0)
    torch.save(Net().state_dict(), template / "net.pt")
    np.save(template / "x.npy", np.random.default_rng(0).integers(0, 16, (200, 6)).astype(np.uint8))
    two = GraphBuilder("two")
    x = two.input("x", FixedType(False, 4, 2), (6,))
    graph = two.build(two.add("relu", ReLU(), x), two.add("shift", Shift(1), x))
    qfx.write_project(graph, template / "two", np.load(template / "x.npy"))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, str(HERE / "killing.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        runner = Runner(template, server)
        runner.well(template, "export")
        (template / "a" / "out").rename(template / "project")
        (template / "a").rmdir()
        for case, command in COMMANDS.items():
            if request.config.getoption("--full") and case in ("verify with csim", "demo"):
                runner.well(template, case)  # what it compiles is in the cache then
            for name in command.targets:
                if "." in name:
                    (template / name).write_bytes(b"the old thing" * 100)
        if (template / "run").exists():
            (template / "run" / "metrics.json").write_text("{}")
        yield runner
        assert server.stdin is not None
        server.stdin.close()


def content(path: Path) -> Content:
    if not path.exists():
        return None
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    found = {file.relative_to(path.parent).as_posix(): file.read_bytes() if file.is_file() else b"" for file in files}
    return {name: re.sub(rb"\d[\d.]*", b"0", text) if TIMED.fullmatch(name) else text for name, text in found.items()}


def listing(home: Path) -> list[str]:
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*"))


MARKED = [pytest.param(case, marks=[] if command.sample else [pytest.mark.full]) for case, command in COMMANDS.items()]


@pytest.mark.parametrize("case", MARKED)
def test_killed(runner: Runner, case: str, request: pytest.FixtureRequest) -> None:
    full, command = bool(request.config.getoption("--full")), COMMANDS[case]
    done = runner.home()
    old = {name: content(done / name) for name in command.targets}
    operations = runner.well(done, case)
    new = {name: content(done / name) for name in command.targets}
    wanted = listing(done)
    assert [old[name] == new[name] for name in command.targets] == [False] * len(command.targets)
    points = [(point, None) for point in command.points(operations, full)] + [(None, size) for size in command.sizes if full]
    for point, size in points:
        home, where = runner.home(), f"{case}: operation {point} of {operations}, size {size}"
        status = runner.run(home, case, point, size)["status"]
        assert status == -(signal.SIGKILL if size is None else signal.SIGXFSZ), where
        for name in command.targets:
            visible = content(home / name)
            if name == "cache" and visible is not None:
                visible = {file: text for file, text in visible.items() if "/.qfx-" not in file}
            assert visible in (None, old[name], new[name]), (where, name)
        runner.well(home, case)
        assert {name: content(home / name) for name in command.targets} == new, where
        assert listing(home) == wanted, where


def test_two_hundred_kills() -> None:
    assert sum(command.kills for command in COMMANDS.values()) >= 200
    assert COMMANDS["overwrite"].points(183, full=False) == [60, 121, 181, 182]
    assert COMMANDS["save"].points(9, full=True) == [*range(9)]
