"""Every public function and every command, called with one argument that is odd; the others are as they should be.

    python -m tests.damage.calls FOLDER api 3 1       three odd values for each parameter of what docs/api.txt lists
    python -m tests.damage.calls FOLDER cli 3 1       the same for the options of each command; with 5 at the end every fifth alone

It prints a JSON object: subject and parameter -> what went wrong. Wanted is a result, a QfxError, or an exit code of 0 to 3.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click
import hypothesis
import numpy as np
import torch
import typer
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner

import qfx
from qfx import errors, ops
from qfx.cli.app import app
from qfx.export.hls.board import load_board
from qfx.export.hls.design import design
from qfx.fixed import FixedType
from qfx.project import read_manifest
from tests.architecture.test_front_door import entries
from tests.damage.trial import SECONDS, Hang, limit_memory
from tests.damage.values import CODES, drawn, write_files
from tests.error_models import Net
from tests.networks import residual_network

U4 = FixedType(False, 4, 2)
MODELS = Path(__file__).parents[1] / "error_models.py"


def graph() -> qfx.Graph:
    return qfx.lower(Net().eval(), (6,))


def node() -> Any:
    return graph().nodes[-1]


GOOD: dict[str, Callable[[], Any]] = {
    "accelerator": graph,
    "axis": lambda: 0,
    "batches": lambda: [torch.zeros(2, 6)],
    "before": lambda: (0, 0),
    "after": lambda: (0, 0),
    "bits": lambda: 8,
    "blocks": lambda: ((8, 1),),
    "board": lambda: load_board("ultra96"),
    "checks": tuple,
    "choices": lambda: qfx.testing.Seeded(0),
    "clock_mhz": lambda: 100.0,
    "codes": lambda: CODES.astype(np.int64),
    "corners": lambda: False,
    "count": lambda: 2,
    "counterpart": lambda: print,
    "data": lambda: [(torch.zeros(2, 6), torch.zeros(2, dtype=torch.int64))],
    "design": lambda: design(graph()),
    "dims": lambda: (6,),
    "directory": lambda: "made",
    "enabled": lambda: True,
    "engines": lambda: ("sim", "onnx"),
    "epochs": lambda: 1,
    "factor": lambda: (2, 2),
    "fails": lambda: bool,
    "file": lambda: "made",
    "flips": dict,
    "folder": lambda: "project",
    "frac": lambda: 2,
    "function": lambda: torch.sigmoid,
    "graph": graph,
    "high": lambda: 3,
    "in_channels": lambda: 2,
    "in_features": lambda: 6,
    "input_shape": lambda: (6,),
    "inputs": lambda: {"x": CODES},
    "k": lambda: 1,
    "k_hot": lambda: 1,
    "kernel": lambda: (2, 2),
    "kernel_size": lambda: 3,
    "kind": lambda: "softmax",
    "label": lambda: "plain",
    "layer": lambda: "weight",
    "layers": tuple,
    "losses": lambda: (1.0,),
    "low": lambda: 0,
    "manifest": lambda: read_manifest("project"),
    "model": lambda: Net().eval(),
    "module": lambda: Net(),
    "name": lambda: "head",
    "network": graph,
    "node": node,
    "num_features": lambda: 3,
    "op": ops.ReLU,
    "operands": lambda: (),
    "order": lambda: (0,),
    "out_channels": lambda: 3,
    "out_features": lambda: 3,
    "output": lambda: qfx.QuantSpec(8),
    "parts": lambda: [qfx.History((1.0,), 1, {})],
    "path": lambda: "made",
    "power": lambda: 1,
    "project": lambda: "project",
    "recipe": lambda: qfx.Recipe(1),
    "sample": lambda: torch.zeros(2, 6),
    "samples": lambda: CODES,
    "seed": lambda: 0,
    "shape": lambda: (6,),
    "shapes": lambda: [(6,)],
    "signed": lambda: True,
    "source": lambda: U4,
    "spec": lambda: qfx.QuantSpec(8),
    "phases": lambda: [qfx.training.Phase(qfx.Recipe(1))],
    "starts": lambda: (0,),
    "steps": lambda: (1,),
    "stops": lambda: (1,),
    "stride": lambda: (2, 2),
    "target": lambda: U4,
    "type": lambda: U4,
    "width": lambda: 8,
    "x": lambda: torch.zeros(2, 6),
    "y": lambda: torch.zeros(2, dtype=torch.int64),
}  # fmt: skip
"""Parameter -> an argument that fits, made anew; of what has a default the default is taken."""

BETTER: dict[str, Callable[[], Any]] = {
    "qfx.convert.model": lambda: nn.Sequential(nn.Linear(6, 3), nn.ReLU()),
    "qfx.ConvertConfig.read.file": lambda: "good.toml",
    "qfx.Recipe.read.file": lambda: "recipe.toml",
    "qfx.load.path": lambda: "saved",
    "qfx.save.network": lambda: Net().eval(),
    "qfx.open.path": lambda: "project",
    "qfx.Project.path": lambda: Path("project"),
    "qfx.Report.samples": lambda: 2,
    "qfx.History.steps": lambda: 1,
    "qfx.ir.HostStep.source": lambda: "head",
    "qfx.ir.Node.op": ops.ReLU,
    "qfx.ir.Node.inputs": lambda: ("x",),
    "qfx.ir.save_graph.folder": lambda: "folder",
    "qfx.ops.Sample.op": ops.ReLU,
    "qfx.testing.check_sample.sample": lambda: ops.ReLU.samples()[0],
    "qfx.testing.compare_compiled.folder": lambda: "made",
    "qfx.testing.makes.op": lambda: ops.ReLU,
    "qfx.testing.smaller.layer": lambda: "head",
    "qfx.training.reestimate_statistics.batches": lambda: [(torch.zeros(2, 6), torch.zeros(2))],
}
"""The same where the name of a parameter does not decide."""

LEFT_OUT = {
    "qfx.quant.FixedPointCast": "a torch.autograd.Function; torch calls it",
    "qfx.testing.Choices": "a protocol",
    "qfx.nn.Layer": "a base class",
    "qfx.ops.Op": "a base class",
    "qfx.Converted": "made by qfx.convert",
    **{f"qfx.models.{name}": "plain torch: it raises what torch raises" for name in qfx.models.__all__},
    "qfx.testing.compare_compiled": "runs a compiler for each graph; tests/hls has it",
    "qfx.testing.makes": "a decorator for those who write tests; it keeps what it is given",
    "qfx.testing.check_sample": "for tests of ops",
    "qfx.testing.smaller": "calls back until a graph is small",
}
"""What is listed in docs/api.txt and not called here, with the reason."""


CALLED_BACK = ("progress", "function")
"""Parameters that are called: what a function given there raises is its own affair."""


@dataclass(frozen=True)
class Subject:
    """A public function or constructor, or an alternate constructor.

    Attributes:
        name: as docs/api.txt has it.
        call: the function.
        parameters: by name; those that may be given.
    """

    name: str
    call: Callable[..., Any]
    parameters: dict[str, inspect.Parameter]

    def arguments(self) -> dict[str, Any]:
        """What has no default, as it should be."""
        return {name: self._makers[name]() for name in self._needed}

    def lacking(self) -> list[str]:
        """Parameters that need an argument, and that this module has none for."""
        return [name for name in self._needed if name not in self._makers]

    @property
    def _needed(self) -> list[str]:
        return [name for name, one in self.parameters.items() if one.default is one.empty]

    @property
    def _makers(self) -> dict[str, Callable[[], Any]]:
        return GOOD | {key.rpartition(".")[2]: make for key, make in BETTER.items() if key.rpartition(".")[0] == self.name}


def subjects() -> Iterator[Subject]:
    """All that is public, each once, under the name that docs/api.txt lists first."""
    seen: set[int] = set()
    for name, entry in entries():
        if not callable(entry) or id(entry) in seen or not str(getattr(entry, "__module__", "")).startswith("qfx"):
            continue
        seen.add(id(entry))
        if name in LEFT_OUT or (inspect.isclass(entry) and issubclass(entry, Exception | qfx.Rounding | qfx.Overflow)):
            continue
        yield _subject(name, entry)
        for other, member in vars(entry).items() if inspect.isclass(entry) else ():
            if isinstance(member, classmethod) and not other.startswith("_"):
                yield _subject(f"{name}.{other}", getattr(entry, other))


def _subject(name: str, call: Any) -> Subject:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return Subject(name, call, {key: one for key, one in inspect.signature(call).parameters.items() if one.kind in kinds})


def tried(act: Callable[[], object]) -> str:
    """What went wrong in a call: nothing if it gives a result or a QfxError."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("error")
            act()
    except (errors.QfxError, OSError) as error:  # an OSError is the system's word: no such folder, no permission
        return "" if str(error) else "an error without a message"
    except (Hang, Exception) as error:
        return f"{type(error).__name__}: {error}"[:200]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for made in ("made", "x"):
            shutil.rmtree(made, ignore_errors=True)
            Path(made).unlink(missing_ok=True)
    return ""


def api(count: int, every: int, files: list[str]) -> dict[str, str]:
    """`count` odd values for each parameter of each public function."""
    found: dict[str, str] = {}
    for subject in [*subjects()][::every]:
        if wrong := tried(lambda subject=subject: subject.call(**subject.arguments())):
            found[f"{subject.name}()"] = wrong
            continue
        for name in subject.parameters:

            def probe(given: tuple[str, Any], subject: Subject = subject, name: str = name) -> None:
                if name in CALLED_BACK and callable(given[1]):
                    return
                if wrong := tried(lambda: subject.call(**subject.arguments() | {name: given[1]})):
                    found.setdefault(f"{subject.name}.{name}", f"{given[0]}: {wrong}")

            _many(probe, drawn(), count)
            for file in files[:: 3 * every] if "Path" in _kind(subject, name) else ():
                probe((file, file))
    return found


def _kind(subject: Subject, name: str) -> str:
    return str(subject.parameters[name].annotation).replace("File", "Path")


def _many(probe: Callable[[Any], None], values: st.SearchStrategy[Any], count: int) -> None:
    slow = (hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large)
    quiet = hypothesis.settings(max_examples=count, database=None, derandomize=True, deadline=None, suppress_health_check=slow)

    def once(value: Any) -> None:
        probe(value)

    quiet(hypothesis.given(values)(once))()


COMMANDS: dict[str, dict[str, str]] = {
    "demo": {},
    "export": {"model": "error_models:net", "weights": "net.pt", "sample": "x.npy", "out": "made", "folding": "plain"},
    "estimate": {"directory": "project"},
    "simulate": {"directory": "project", "inputs": "x.npy", "out": "made.npy"},
    "verify": {"directories": "project", "engines": "sim,onnx", "samples": "2"},
    "info": {"target": "project"},
    "doctor": {},
}
"""Command -> parameters that make it succeed."""

TEXTS = [
    *("", " ", "-1", "0", "1e400", "nan", "x", "../..", "/", "a:b", ":", "error_models:none", "error_models:Soft", "é", "1" * 400),
    *("x=y", "a\udcffb", "-", "--", "[red]"),
]
"""Odd arguments of a command."""


def command_line(command: click.Command, given: dict[str, str]) -> list[str]:
    """The arguments of a command."""
    line: list[str] = [str(command.name)]
    for one in command.params:
        if one.name in given and one.param_type_name == "option":
            line += [one.opts[0]] if getattr(one, "is_flag", False) else [f"{one.opts[0]}={given[one.name]}"]
    return (
        line + ["--"] + [given[str(one.name)] for one in command.params if one.param_type_name == "argument" and one.name in given]
    )


def cli(count: int, every: int, files: list[str]) -> dict[str, str]:
    """`count` odd values for each parameter of each command."""
    found: dict[str, str] = {}
    sys.modules["sklearn"] = None  # pyright: ignore  # so that the demo, which trains for minutes, ends where it would begin
    for name, command in cast("click.Group", typer.main.get_command(app)).commands.items():
        good = COMMANDS[name]  # a new command has no entry yet
        ends = 3 if name == "demo" else 0
        assert CliRunner().invoke(app, command_line(command, good)).exit_code in (ends, 3 * (name == "doctor")), name
        for one in command.params[::every]:

            def probe(text: str, command: click.Command = command, one: Any = one, good: dict[str, str] = good) -> None:
                line = command_line(command, good | {str(one.name): text})
                if wrong := tried(lambda: finished(line)):
                    found.setdefault(f"{command.name} {one.name}", f"{line}: {wrong}")

            _many(probe, st.text(st.characters(blacklist_characters="\0"), max_size=5), count)
            for text in [*TEXTS, *files][:: 2 * every - 1]:
                probe(text)
    return found


def finished(line: list[str]) -> None:
    """Run a command line.

    Raises:
        AssertionError: its exit code, or a traceback.
    """
    result = CliRunner().invoke(app, line)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2, 3) and "Traceback" not in result.output, result.output[-300:]


def main(folder: str, what: str, count: str, every: str) -> int:
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    sys.path.insert(0, str(home))
    torch.manual_seed(0)
    shutil.copy(MODELS, "error_models.py")
    files = write_files(Path())
    np.save("x.npy", CODES)
    torch.save(Net().state_dict(), "net.pt")
    Path("folder").mkdir(exist_ok=True)
    Path("good.toml").write_text("weights = 4\n")
    Path("recipe.toml").write_text("epochs = 1\n")
    qfx.save(Net().eval(), "saved")
    shutil.rmtree("project", ignore_errors=True)
    qfx.write_project(graph(), "project", CODES)
    manifest = json.loads(Path("project/manifest.json").read_text())
    manifest["engines"] = ["sim", "onnx"]  # by default no compiler runs
    Path("project/manifest.json").write_text(json.dumps(manifest))
    signal.signal(signal.SIGALRM, _hang)
    residual_network()
    limit_memory()
    print(json.dumps({"api": api, "cli": cli}[what](int(count), int(every), files), indent=1))
    return 0


def _hang(*_: object) -> None:
    raise Hang(f"it takes longer than {SECONDS} s")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
