"""What users can get wrong: each case has its message, exit code 2, no traceback, and leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from qfx import errors
from qfx.cli.app import app
from qfx.cli.exit_codes import exit_code
from qfx.export.hls.design import design
from qfx.export.schedule import schedule
from tests.error_models import Net, Uncalibrated, unverified

EXPORT = ("export", "error_models:net", "--weights", "net.pt", "--sample", "x.npy", "--out", "out")


def net_state(**changes: float) -> dict[str, Any]:
    """The weights, with the first entry of some of them replaced."""
    torch.manual_seed(0)
    state = Net().state_dict()
    for name, value in changes.items():
        state[f"head.{name}"].view(-1)[0] = value
    return state


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's directory with models, weights, inputs good and bad, and a project."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(Path(__file__).with_name("error_models.py"), home)
    torch.save(net_state(), home / "net.pt")
    torch.save(net_state(weight=float("nan")), home / "nan.pt")
    torch.save(net_state(bias=float("inf")), home / "inf.pt")
    torch.save(net_state() | {"head.weight_quant.frac": torch.tensor(float("nan"))}, home / "frac.pt")
    torch.save(Uncalibrated().state_dict(), home / "uncalibrated.pt")
    torch.save(unverified().state_dict(), home / "unverified.pt")
    (home / "cut.pt").write_bytes((home / "net.pt").read_bytes()[:200])
    codes = np.random.default_rng(0).integers(0, 16, (9, 6)).astype(np.uint8)
    np.save(home / "x.npy", codes)
    np.save(home / "shape.npy", codes[:, :5])
    np.save(home / "high.npy", codes + 9)
    np.save(home / "low.npy", codes.astype(np.int8) - 1)
    np.save(home / "real.npy", np.full((9, 6), np.nan))
    (home / "cut.npy").write_bytes((home / "x.npy").read_bytes()[:-7])
    (home / "file").write_text("x")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert run("export", *EXPORT[1:-1], "project").exit_code == 0
    return home


@pytest.fixture
def home(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and the current directory."""
    copy = Path(shutil.copytree(written, tmp_path / "home"))
    monkeypatch.chdir(copy)
    return copy


def run(*arguments: str) -> Result:
    """The command line, in this process."""
    return CliRunner().invoke(app, list(arguments))


def refused(*arguments: str, code: int = 2) -> str:
    """The message of a command that fails with this exit code."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit) and "Traceback" not in result.output
    return " ".join(result.stderr.split())


def files() -> set[str]:
    """All that lies in the current directory, but for compiled Python."""
    return {path.as_posix() for path in Path().rglob("*") if "__pycache__" not in path.parts}


def test_unverified_modes_are_exported_when_allowed(home: Path) -> None:
    result = run(*exporting(model="unverified", weights="unverified.pt"), "--allow-unverified-modes", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert "AP_RND_ZERO, AP_SAT_SYM>" in (home / "out/hls/selfcheck/golden.hpp").read_text()
    assert run("verify", "out", "--engines", "sim,csim", "--quiet").exit_code == 0


def exporting(**changes: str) -> tuple[str, ...]:
    """The export command with other arguments."""
    values = {"model": "net", "weights": "net.pt", "sample": "x.npy", "out": "out"} | changes
    return ("export", f"error_models:{values['model']}", *(f"--{name}={values[name]}" for name in ("weights", "sample", "out")))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (exporting(model="soft"), "error: erf (erf) at "),
        (exporting(model="soft"), "it has no fixed-point form; "),
        (exporting(model="branching"), "control flow, loops and shapes in forward must not depend on the data"),
        (exporting(model="looping"), "control flow, loops and shapes in forward must not depend on the data"),
        (exporting(model="uncalibrated", weights="uncalibrated.pt"), "is not calibrated"),
        (
            exporting(weights="nan.pt"),
            "the quantizer 'head.weight_quant' (5 bits) was given 1 of 18 values that are NaN or infinite; train again",
        ),
        (exporting(weights="inf.pt"), "the quantizer 'head.bias_quant' (5 bits) was given 1 of 3 values that are NaN or infinite"),
        (exporting(weights="frac.pt"), "the quantizer 'head.weight_quant' (5 bits) has a binary point that is NaN or infinite"),
        (exporting(weights="cut.pt"), "cut.pt is no state dict that torch.load reads with weights_only=True"),
        (exporting(weights="none.pt"), "there is no file none.pt"),
        (
            exporting(model="unverified", weights="unverified.pt"),
            "layer 'acts.quant' casts with AP_RND_ZERO and AP_SAT_SYM, which has not been checked with the vendor's own headers;"
            " use AP_TRN, AP_RND or AP_RND_CONV with AP_WRAP or AP_SAT, or allow it (--allow-unverified-modes,",
        ),
        (exporting(sample="shape.npy"), "linear wants x (F,) and weight (O, F), not (5,) and (3, 6)"),
        (exporting(sample="high.npy"), "input 'x' has codes from 9 to 24, outside 0..15 of ap_ufixed<4, 2>"),
        (exporting(sample="low.npy"), "input 'x' has codes from -1 to 14, outside 0..15 of ap_ufixed<4, 2>"),
        (exporting(sample="real.npy"), "real.npy holds float64; integer codes are wanted"),
        (exporting(sample="cut.npy"), "cut.npy is no NumPy .npy file of numbers"),
        (exporting(out="project"), "project exists already; choose another directory, or ask to overwrite it"),
        (exporting(out="file"), "file exists already; choose another directory"),
        (exporting(out="file/out"), "/file is no folder, choose another place"),
        (("verify", "project", "--inputs", "shape.npy"), "input 'x' has shape (9, 5), wanted (batch, 6)"),
        (("verify", "project", "--inputs", "high.npy"), "input 'x' has codes from 9 to 24, outside 0..15"),
        (("verify", "project", "--inputs", "real.npy"), "real.npy holds float64; integer codes are wanted"),
        (("verify", "project", "--inputs", "cut.npy"), "cut.npy is no NumPy .npy file of numbers"),
        (("verify", "project", "--inputs", "none.npy"), "none.npy cannot be read: No such file or directory"),
        (("simulate", "project", "--inputs", "low.npy", "--out", "y.npy"), "input 'x' has codes from -1 to 14, outside 0..15"),
        (("simulate", "project", "--inputs", "shape.npy", "--out", "y.npy"), "input 'x' has shape (9, 5), wanted (batch, 6)"),
        (("simulate", "project", "--inputs", "x.npy", "--out", "none/y.npy"), "none/y.npy cannot be written: No such file"),
        (("simulate", "project", "--inputs", "x.npy", "--out", "project"), "project is a directory; give the name of a file"),
        (
            ("verify", "project", "--junit", "none/j.xml"),
            "none/j.xml cannot be written: No such file or directory; make the folder",
        ),
        (
            ("verify", "project", "--report", "none/r.txt"),
            "none/r.txt cannot be written: No such file or directory; make the folder",
        ),
        (
            ("verify", "project", "--json", "none/r.json"),
            "none/r.json cannot be written: No such file or directory; make the folder",
        ),
        (("estimate", "project", "--json", "none/r.json"), "none/r.json cannot be written: No such file or directory; make the"),
        (
            ("simulate", "project", "--inputs", "x.npy", "--out", "/dev/full"),
            "/dev/full cannot be written: No space left on device",
        ),
        (("info", "file"), "file is neither a file of qfx.save nor a state dict of torch.save or safetensors"),
        (("verify", "file"), "file is no directory; give the folder that `qfx export` wrote"),
    ],
)
def test_arguments(home: Path, arguments: tuple[str, ...], message: str) -> None:
    before = files()
    assert message in refused(*arguments)
    assert files() == before


def edit(**changes: Any) -> Callable[[Path], None]:
    """Change fields of the manifest."""

    def change(project: Path) -> None:
        file = project / "manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def relist(**changes: str) -> Callable[[Path], None]:
    """Change entries of the manifest's list of files."""

    def change(project: Path) -> None:
        listed = json.loads((project / "manifest.json").read_text())["files"]
        edit(files=listed | {name.replace("__", "/").replace("_dot_", "."): digest for name, digest in changes.items()})(project)

    return change


def cut(name: str) -> Callable[[Path], None]:
    """Keep the first half of a file."""
    return lambda project: _write(project / name, (project / name).read_bytes()[: (project / name).stat().st_size // 2])


def without(name: str) -> Callable[[Path], None]:
    """Remove a file."""
    return lambda project: (project / name).unlink()


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def hostile(name: str) -> Callable[[Path], None]:
    """List a file that lies elsewhere."""

    def change(project: Path) -> None:
        listed = json.loads((project / "manifest.json").read_text())["files"]
        edit(files=listed | {name: "0"})(project)

    return change


def linked(project: Path) -> None:
    """Put a link to a file elsewhere in place of a golden file."""
    (project / "golden/inputs.npy").unlink()
    (project / "golden/inputs.npy").symlink_to(project.parent.absolute() / "x.npy")


def test_an_export_designs_and_schedules_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accelerator that was found is the one that is written."""
    done: list[str] = []

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            done.append(function.__name__)
            return function(*given)

        return call

    monkeypatch.setattr("qfx.export.accelerator.design", counted(design))
    monkeypatch.setattr("qfx.export.hls.design.schedule", counted(schedule))
    for folding in ("fastest", "plain"):
        done.clear()
        assert run(*exporting(out=folding), "--folding", folding).exit_code == 0
        assert done == ["design", "schedule"]


@pytest.mark.parametrize("command", ["verify", "info", "simulate"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("manifest.json"), "project has no manifest.json; it is no QFX project"),
        (without("model.onnx"), "model.onnx is missing; the project is incomplete, export it again"),
        (without("hls/layers.hpp"), "hls/layers.hpp is missing; the project is incomplete"),
        (cut("manifest.json"), "manifest.json cannot be read as JSON"),
        (cut("graph.npz"), "graph.npz differs from the manifest: it was altered or cut short; export the project again"),
        (cut("golden/torch.npz"), "golden/torch.npz differs from the manifest: it was altered or cut short"),
        (
            edit(format=99, qfx_version="9.9"),
            "has format 99; this QFX reads format 1. Export the project again, or use the QFX",
        ),
        (edit(engines=3), "field 'engines' is missing or of the wrong kind; the project was altered"),
        (relist(model_dot_onnx="0" * 64), "model.onnx differs from the manifest: it was altered or cut short"),
        (hostile("../net.pt"), "lists '../net.pt', which lies outside the project"),
        (hostile("/dev/null"), "lists '/dev/null', which lies outside the project"),
        (linked, "lists 'golden/inputs.npy', which lies outside the project"),
    ],
)
def test_projects(home: Path, command: str, spoil: Callable[[Path], object], message: str) -> None:
    spoil(home / "project")
    before = files()
    more = ("--inputs", "x.npy", "--out", "y.npy") if command == "simulate" else ()
    assert message in refused(command, "project", *more)
    assert files() == before


@pytest.mark.parametrize(
    "writer", ["pathlib.Path.write_text", "qfx.project.write.write_text", "numpy.save", "numpy.savez_compressed"]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk(home: Path, monkeypatch: pytest.MonkeyPatch, writer: str, overwrite: bool) -> None:
    """Nothing half-written stays, and a project that was to be replaced does."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = files()
    monkeypatch.setattr(writer, full)
    arguments = (*exporting(out="project"), "--overwrite") if overwrite else exporting()
    message = refused(*arguments)
    monkeypatch.undo()
    monkeypatch.chdir(home)
    assert message.startswith(f"error: {'project' if overwrite else 'out'}") and ".qfx-" not in message
    assert re.search(
        r"cannot be written: No space left on device; free some space, nothing half-written was left \([\d,]+ b", message
    )
    assert files() == before
    assert run("verify", "project", "--engines", "torch,sim").exit_code == 0


def test_a_full_disk_while_results_are_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    results = ("y.npy", "r.json", "j.xml", "r.txt")
    for name in results:
        (home / name).write_text("old")
    before = files()
    monkeypatch.setattr("os.fsync", full)
    message = "error: {} cannot be written: No space left on device; free some space, nothing half-written was left ("
    assert message.format("y.npy") in refused("simulate", "project", "--inputs", "x.npy", "--out", "y.npy")
    for option, name in (("--json", "r.json"), ("--junit", "j.xml"), ("--report", "r.txt")):
        assert message.format(name) in refused("verify", "project", "--engines", "sim,onnx", option, name)
    assert files() == before and {(home / name).read_text() for name in results} == {"old"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (exporting(), "out"),
        (exporting(out="a/b/c"), "a/b/c"),
        ((*exporting(out="project"), "--overwrite"), "project"),
        (("simulate", "project", "--inputs", "x.npy", "--out", "y.npy"), "y.npy"),
        (("simulate", "project", "--inputs", "x.npy", "--out", "y.npy", "--host"), "y.npy"),
        (("verify", "project", "--json", "r.json"), "r.json"),
        (("verify", "project", "--junit", "j.xml"), "j.xml"),
        (("verify", "project", "--report", "r.txt"), "r.txt"),
        (("estimate", "project", "--json", "r.json"), "r.json"),
        (("demo", "--out", "run"), "run"),
    ],
)
def test_a_folder_that_may_not_be_written_to_is_named_before_the_work(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], named: str
) -> None:
    def denied(path: str | Path, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def worked(*_: object, **__: object) -> None:
        raise AssertionError("the work was done")

    for work in (
        "qfx.cli.factory.load_model",
        "qfx.cli.simulate.output_chunks",
        "qfx.cli.verify.verify",
        "qfx.cli.estimate.with_folding",
        "qfx.cli.demo._arms",
    ):
        monkeypatch.setattr(work, worked)
    before = files()
    monkeypatch.setattr("os.mkdir", denied)
    assert f"error: {named} cannot be written: Permission denied; choose another place than " in refused(*arguments)
    assert files() == before


def limited() -> None:
    """As `ulimit -f` has it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (3072, 3072))


def test_a_limit_of_file_sizes(tmp_path: Path) -> None:
    """`6000 requested and 2944 written` says neither what nor where nor why."""
    write = "from qfx.project.golden import write_arrays; write_arrays('out', {'x': np.zeros(6000, np.uint8)})"
    command = [sys.executable, "-c", f"import numpy as np; {write}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limited, check=False)
    message = "out cannot be written: File too large; raise the limit of 3,072 bytes for a file (ulimit -f), nothing half-written"
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def more(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 1.75 TiB")

    monkeypatch.setattr("qfx.cli.simulate.output_chunks", more)
    message = "error: this needs more memory than there is: Unable to allocate 1.75 TiB; take fewer samples at a time"
    assert message in refused("simulate", "project", "--inputs", "x.npy", "--out", "y.npy")


def test_an_interrupted_export(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `test_cli.py` has it with signals, here at every write of the export."""
    before = files()
    steps = ("golden.write_codes", "write._record_torch", "write._write_graph")
    for writer in (*(f"qfx.project.{step}" for step in steps), "qfx.project.write.write_hls"):
        with monkeypatch.context() as patch:
            patch.setattr(writer, _interrupt)
            assert refused(*exporting(), code=130) == "interrupted"
        assert files() == before


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("kind", "base", "code"),
    [
        (errors.InputError, ValueError, 2),
        (errors.FormatError, errors.InputError, 2),
        (errors.ConfigError, errors.InputError, 2),
        (errors.ConversionError, errors.ModelError, 2),
        (errors.QuantizationError, errors.ModelError, 2),
        (errors.LoweringError, errors.ModelError, 2),
        (errors.GraphError, errors.ModelError, 2),
        (errors.ExactnessError, errors.ModelError, 2),
        (errors.ExportError, errors.QfxError, 2),
        (errors.ProjectError, OSError, 2),
        (errors.WriteError, OSError, 2),
        (errors.TrainingError, errors.QfxError, 2),
        (errors.ToolMissingError, errors.QfxError, 3),
    ],
)
def test_the_tree(kind: type[errors.QfxError], base: type[Exception], code: int) -> None:
    """Whoever catches what Python raises for such a mistake catches this, too; the message stays whole."""
    error = kind("what is wrong: 3 of 4")
    assert isinstance(error, base) and isinstance(error, errors.QfxError) and f"── {kind.__name__}" in str(errors.__doc__)
    assert (str(error), error.args, exit_code(error)) == ("what is wrong: 3 of 4", ("what is wrong: 3 of 4",), code)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
