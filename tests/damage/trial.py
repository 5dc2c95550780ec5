"""One damaged project after the other: opened, shown, simulated, verified; the manifest has the hashes of the damaged files.

    python -m tests.damage.trial FOLDER 17        case 17 alone, with its traceback; FOLDER keeps the damaged project

A case is a number, and repeats. What is wanted of it: a QfxError, an exit code of 0 to 3, and where all agree, agreement.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import resource
import signal
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from typer.testing import CliRunner

import qfx
from qfx.cli.app import app
from qfx.errors import QfxError
from qfx.fixed import code_dtype
from qfx.sim import Simulator
from qfx.sim.csim import CSimulator
from tests.damage.mutations import STRUCTURAL, mutated
from tests.damage.projects import write_projects

ends: Counter[tuple[str, int]] = Counter()
"""How often each command ended with which exit code."""

SECONDS = 30
"""That a case may take, on a machine with other things to do."""
MEGABYTES = 1500
"""That all cases together may take, beyond what is taken before the first."""


class Hang(BaseException):
    """A case that takes longer than `SECONDS`."""


def damage(project: Path, number: int) -> tuple[str, dict[str, bytes]]:
    """Damage a file of the project, and put its hash in the manifest right.

    Returns:
        name of the file; the contents before, by name, of what was written.
    """
    pick = random.Random(number)
    manifest = json.loads((project / "manifest.json").read_bytes())
    names = ["manifest.json", *sorted(manifest["files"])]
    data = [name for name in names if Path(name).suffix in STRUCTURAL]
    read = [name for name in data if not name.startswith(("hls/", "golden/outputs"))]
    name = pick.choice(read if pick.randrange(4) else data if pick.randrange(4) else names)
    before = {key: (project / key).read_bytes() for key in (name, "manifest.json")}
    content = mutated(pick, name, before[name])
    (project / name).write_bytes(content)
    if name != "manifest.json":
        manifest["files"][name] = hashlib.sha256(content).hexdigest()
        (project / "manifest.json").write_text(json.dumps(manifest))
    return name, before


def judge(project: Path) -> dict[str, int]:
    """Use the project in every way that runs no compiler; returns the exit code of each command.

    Raises:
        AssertionError: an exit code or a verdict that is wrong.
        Exception: whatever is no QfxError.
    """
    for act in (simulated, CSimulator):
        with contextlib.suppress(QfxError):
            act(project)
    codes = {command[0]: finished(*command) for command in commands(project)}
    if codes["verify"] == 0:
        assert_outputs_agree(project)
    return codes


def simulated(path: Path) -> None:
    project = qfx.open(path)
    assert repr(project) and project.sample_count
    qfx.simulate(project.graph, {name: codes[:3] for name, codes in project.samples.items()})


def commands(project: Path) -> list[tuple[str, ...]]:
    """The command lines that are tried, by a verify first."""
    return [
        (
            "verify",
            str(project),
            "--samples",
            "3",
            "--engines",
            "sim,onnx" + (",torch" if (project / "golden/torch.npz").exists() else ""),
        ),
        ("info", str(project)),
        ("estimate", str(project)),
    ]


def finished(*arguments: str) -> int:
    """The exit code of a command line, which ends without a traceback."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2, 3) and "Traceback" not in result.output, result.output[-2000:]
    assert result.exit_code not in (2, 3) or result.stderr.startswith("error: "), result.output[-2000:]
    return result.exit_code


def assert_outputs_agree(project: Path) -> None:
    """By ONNX Runtime and the interpreter, apart from all that verifies."""
    opened = qfx.open(project)
    graph, codes = opened.graph, {name: array[:3] for name, array in opened.samples.items()}
    session: Any = onnxruntime.InferenceSession(opened.onnx_file.read_bytes(), providers=["CPUExecutionProvider"])  # pyright: ignore
    feed = {name: array.astype(code_dtype(graph.values[name].type)) for name, array in codes.items()}
    wanted = Simulator(graph, 1).run(codes)
    for name in graph.outputs:
        np.testing.assert_array_equal(session.run([name], feed)[0], wanted[name])


def run(projects: list[Path], number: int, keep: bool) -> str:
    """One case; the project is whole again behind it, unless it is kept. Returns what was wrong, or nothing."""
    project = projects[number % len(projects)]
    name, before = damage(project, number)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ends.update(judge(project).items())
    except (Hang, Exception):
        return f"case {number}, {project.name}/{name}:\n{traceback.format_exc()}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for key, content in () if keep else before.items():
            (project / key).write_bytes(content)
    return ""


def _hang(*_: object) -> None:
    raise Hang(f"it takes longer than {SECONDS} s")


def limit_memory() -> None:
    """From here on `MEGABYTES` more, counted as data: torch alone maps more address space than that."""
    taken = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")).split()[1])
    most = (taken << 10) + (MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def main(folder: str, first: str, behind: str = "") -> int:
    """Cases `first` to `behind`, or one alone: its number goes to standard output, and what was wrong to standard error."""
    home = Path(folder)
    projects = [home / name for name in ("layers", "recorded", "ends")] if (home / "ends").exists() else write_projects(home)
    for project in projects:  # what is loaded and compiled at first use does not count
        assert judge(project) == {"verify": 0, "info": 0, "estimate": 0}
    signal.signal(signal.SIGALRM, _hang)
    warnings.simplefilter("ignore")  # of what damages
    limit_memory()
    wrong = 0
    for number in range(int(first), int(behind or int(first) + 1)):
        print(number, flush=True)
        if found := run(projects, number, not behind):
            print(found, file=sys.stderr, flush=True)
            wrong += 1
    print(json.dumps({f"{command} {code}": count for (command, code), count in sorted(ends.items())}))
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
