"""Runs commands in forks of one process that has imported everything, and kills them at a chosen operation on files.

    python killing.py    a JSON line in: {"home", "case", "operation", "bytes"}; a JSON line out: {"status", "operations", "errors"}

Operations are counted by Python's audit events: what makes, opens for writing, locks, renames or removes something. `operation` is
the one before which the process is killed with SIGKILL; `bytes` kills it in the write that makes a file longer than that.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch

import qfx
from qfx.cache import Cache
from qfx.cli import demo, export, simulate, verify
from qfx.cli.app import app
from qfx.export.onnx import onnx_model
from qfx.training import arms as digits_arms
from qfx.training.arms import Arm, load_digits

LOADED = (onnxruntime, export, simulate, verify, onnx_model)
"""What a command imports late, imported before the fork."""

EXPORT = ("export", "error_models:net", "--weights=net.pt", "--sample=x.npy", "--quiet")
JUDGE = ("verify", "project", "--json=r.json", "--junit=r.xml", "--report=r.txt", "--quiet")


def command(*arguments: str) -> None:
    """The command line."""
    try:
        app(list(arguments), prog_name="qfx")
    except SystemExit as ended:
        if ended.code:
            raise


@functools.cache
def arms() -> list[Arm]:
    """Networks that are calibrated but not trained."""
    raw = qfx.InputFormat((0.305,), (0.376,), 16.0)
    configs = {"learned-4": qfx.ConvertConfig.bits(4, input=raw), "multiplier-free": qfx.ConvertConfig.multiplier_free(input=raw)}
    model, sample = qfx.models.DigitsNet((1, 2)), load_digits().train_x[:16]
    return [Arm(name, qfx.convert(model, sample, config), 99.0, 4) for name, config in configs.items()]


def quick_demo() -> None:
    """The demonstration without training and without a compiler."""

    def trained(**_: object) -> list[Arm]:
        return arms()

    def judged(project: qfx.Project, engines: object, images: Any, **_: object) -> qfx.Report:
        return qfx.verify(project, ["sim", "onnx"], images[:4])

    def plain(graph: qfx.Graph, board: object) -> qfx.Accelerator:
        return qfx.accelerate(graph, folding="plain")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits_arms, "train_arms", trained)
        patch.setattr(demo, "verify", judged)
        patch.setattr(demo, "fastest", plain)
        demo.run_demo("run", quiet=True)


def save() -> None:
    """A network in a file."""
    torch.manual_seed(1)
    qfx.save(torch.nn.Sequential(qfx.nn.Linear(40, 30)), "net.qfx")


CASES: dict[str, Callable[[], None]] = {
    "export": lambda: command(*EXPORT, "--out=a/out", *(["--overwrite"] if Path("a/out").exists() else [])),
    "overwrite": lambda: command(*EXPORT, "--out=project", "--overwrite", "--name=other"),
    "verify": lambda: command(*JUDGE, "--engines=sim,onnx"),
    "verify with csim": lambda: command(*JUDGE, "--engines=sim,csim"),
    "simulate": lambda: command("simulate", "project", "--inputs=x.npy", "--out=y.npy", "--quiet"),
    "simulate two": lambda: command("simulate", "two", "--inputs=x.npy", "--out=y.npz", "--quiet"),
    "demo": quick_demo,
    "save": save,
    "store": lambda: Cache("cache").store("aa", "net.pt"),
}

PLACE = {"os.mkdir": 0, "os.rename": 0, "os.remove": 0, "os.rmdir": 0, "os.chmod": 0, "os.truncate": 0, "shutil.copyfile": 1}
"""Event -> which argument is a path."""


def counting(home: Path, kill_at: int | None) -> list[str]:
    """What is done to files in `home` from now on; dies before one of them."""
    done: list[str] = []

    def note(what: str, path: object) -> None:
        if not isinstance(path, str | Path) or not (home / path).is_relative_to(home):
            return
        if len(done) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(what)

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open" and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            note(event, given[0])
        elif event in PLACE:
            note(event, given[PLACE[event]])
        elif event == "fcntl.flock":
            note(event, home)

    sys.addaudithook(hook)
    return done


def run(home: Path, case: str, kill_at: int | None, size: int | None) -> None:
    """In the fork: never returns."""
    os.chdir(home)
    if hasattr(os, "sched_setaffinity"):  # on one core chunks come one after the other, and every run does the same operations
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sys.path[0] = str(home)
    os.environ["QFX_CACHE"] = str(home / "cache")
    tempfile.tempdir = str(home / "tmp")
    if size is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    code = 1
    report, sys.stdout = sys.stdout, sys.stderr
    try:
        done = counting(home, kill_at)
        CASES[case]()
        code = 0
        print(json.dumps(len(done)), file=report, flush=True)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(code)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait, tell."""
    if asked["case"] == "demo":
        arms()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            run(Path(asked["home"]), asked["case"], asked["operation"], asked["bytes"])
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        errors.seek(0)
        return {"status": status, "operations": json.loads(out.read() or "null"), "errors": errors.read()}


if __name__ == "__main__":
    torch.set_num_threads(1)  # a fork has none of the threads of its parent
    warnings.simplefilter("default")
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
