"""The console script: results, messages, exit codes, no tracebacks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from qfx import save
from qfx.cli.app import app
from qfx.project import open_project
from tests.user_models import narrow, net

QFX = Path(sys.executable).with_name("qfx")
MODELS = Path(__file__).with_name("user_models.py")


def qfx(
    *arguments: str | Path, cwd: Path, code: int = 0, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the console script; asserts its exit code, and that nothing looks like a traceback."""
    result = subprocess.run(
        [str(QFX), *map(str, arguments)], cwd=cwd, capture_output=True, text=True, env={**os.environ, **(environment or {})}
    )
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's directory: models.py, weights, samples, and the project exported from them."""
    home = tmp_path_factory.mktemp("home")
    (home / "models.py").write_text(MODELS.read_text())
    torch.save(net().state_dict(), home / "net.pt")
    np.save(home / "x.npy", np.random.default_rng(0).integers(0, 16, (120, 2, 5, 6)).astype(np.uint8))
    np.save(home / "other.npy", np.random.default_rng(1).integers(0, 16, (5, 2, 5, 6)).astype(np.uint8))
    qfx("export", "models:net", "--weights", "net.pt", "--sample", "x.npy", "--out", "project", cwd=home)
    return home


def test_version_and_help(tmp_path: Path) -> None:
    assert re.fullmatch(r"qfx \d+\.\d+\.\d+\n", qfx("--version", cwd=tmp_path).stdout)
    assert qfx("-V", cwd=tmp_path).stdout == qfx("--version", cwd=tmp_path).stdout
    text = qfx("--help", cwd=tmp_path).stdout
    assert [name for name in ("demo", "export", "simulate", "verify", "info", "completion") if name not in text] == []
    command = [sys.executable, "-m", "qfx", "--help"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == text


def test_every_help_text_is_a_sentence() -> None:
    for command in [typer.main.get_command(app), *typer.main.get_group(app).commands.values()]:
        for parameter in command.params:
            help = getattr(parameter, "help", None) or ""
            assert re.fullmatch(r"[A-Z].*\.|Show this message and exit\.", help), (command.name, parameter.name, help)


@pytest.mark.parametrize(
    "arguments", [(), ("verify",), ("verify", "a", "--nonsense"), ("nothing",), ("verify", "a", "--samples", "x")]
)
def test_usage_errors(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert "Usage" in (result := qfx(*arguments, cwd=tmp_path, code=2)).stderr + result.stdout


def test_what_export_writes(home: Path) -> None:
    project = open_project(home / "project")
    assert project.manifest.engines == ("torch", "sim", "onnx", "csim")
    assert (project.manifest.model, project.manifest.name) == ("models:net", "network")
    assert len(project.inputs) == 120 and project.torch_file is not None


def test_verify_all_engines(home: Path) -> None:
    text = qfx("verify", "project", cwd=home).stdout
    assert "torch = sim = onnx = csim: 120 samples" in text and " 0 mismatches" in text


def test_verify_live_with_other_inputs(home: Path) -> None:
    common = ("verify", "project", "--engines", "torch,sim", "--inputs", "other.npy")
    assert "torch = sim: 5 samples" in qfx(*common, "--model", "models:net", "--weights", "net.pt", cwd=home).stdout
    message = (
        "error: engine torch cannot run: its values are recorded for the project's own inputs only; give the model to run it live"
    )
    assert message in qfx(*common, cwd=home, code=3).stderr
    assert (
        "models:net makes a model, but its weights are missing; give --weights FILE, or a file of qfx.save for both"
        in qfx(*common, "--model", "models:net", cwd=home, code=2).stderr
    )
    message = "a live model takes --model module:factory and --weights FILE, or --model FILE of qfx.save"
    assert message in qfx(*common, "--weights", "net.pt", cwd=home, code=2).stderr


def test_torch_left_out_is_said(home: Path) -> None:
    result = qfx("verify", "project", "--inputs", "other.npy", cwd=home)
    assert "note: torch is left out" in result.stderr and "sim = onnx = csim: 5 samples" in result.stdout


def test_json(home: Path) -> None:
    qfx("verify", "project", "--engines", "sim,onnx", "--json", "report.json", cwd=home)
    report = json.loads((home / "report.json").read_text())
    assert list(report) == ["engines", "samples", "values_compared", "mismatches", "layers"]
    assert (report["engines"], report["samples"], report["mismatches"]) == (["sim", "onnx"], 120, 0)
    result = qfx("verify", "project", "--engines", "sim,onnx", "--json", "-", "--quiet", cwd=home)
    assert json.loads(result.stdout) == report and result.stderr == ""
    beside = qfx("verify", "project", "--engines", "sim,onnx", "--json", "-", cwd=home)
    assert json.loads(beside.stdout) == report and "sim = onnx" in beside.stderr


def test_a_mismatch_is_exit_code_1(home: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    subprocess.run(["cp", "-r", home / "project", project], check=True)
    file = project / "hls/weights.hpp"
    word = re.search(r"0x[0-9a-f]+", file.read_text())
    assert word is not None
    file.write_text(file.read_text().replace(word.group(), f"{int(word.group(), 16) ^ 1:#x}", 1))
    result = qfx("verify", project, "--engines", "sim,csim", cwd=tmp_path, code=1)
    assert "first mismatch: layer 1 (conv2d), sample " in result.stdout
    assert "note: hls/weights.hpp differs from the manifest; it is judged as it lies there" in result.stderr
    quiet = qfx("verify", project, "--engines", "sim,csim", "--quiet", cwd=tmp_path, code=1)
    assert quiet.stdout == "" and "first mismatch: layer" in quiet.stderr


def test_quiet_says_nothing(home: Path) -> None:
    for arguments in (
        ("verify", "project", "--engines", "sim,onnx"),
        ("simulate", "project", "--inputs", "x.npy", "--out", "quiet.npy"),
        ("export", "models:net", "--weights", "net.pt", "--sample", "other.npy", "--out", "quiet", "--name", "small"),
    ):
        result = qfx(*arguments, "--quiet", cwd=home)
        assert (result.stdout, result.stderr) == ("", "")
    assert open_project(home / "quiet").manifest.name == "small" and len(open_project(home / "quiet").inputs) == 100


def test_what_is_recorded_of_torch(home: Path) -> None:
    exporting = ("export", "models:net", "--weights", "net.pt", "--sample", "other.npy", "--out", "few", "--record")
    assert "what is recorded is `all`, `outputs` or a number of samples from 1 on" in qfx(*exporting, "no", cwd=home, code=2).stderr
    qfx(*exporting, "outputs", cwd=home)
    assert "100 recorded samples, the outputs as PyTorch computed them" in qfx("info", "few", cwd=home).stdout
    result = qfx("verify", "few", "--engines", "torch,sim", cwd=home)
    assert "note: torch's values are recorded of the outputs only, 4; other layers are not compared" in result.stderr
    assert "torch = sim: 100 samples, 400 values compared, 0 mismatches" in result.stdout


def test_missing_tools_are_exit_code_3(home: Path) -> None:
    result = qfx("verify", "project", cwd=home, code=3, environment={"CXX": "no-such-compiler"})
    assert "error: no C++ compiler for C simulation: 'no-such-compiler' is not on PATH" in result.stderr
    assert "Traceback" not in qfx("demo", "--out", "demo", cwd=home, code=3, environment={"CXX": "no-such-compiler"}).stderr
    assert not (home / "demo").exists()


def test_simulate(home: Path) -> None:
    assert "out.npy: 120 samples of 4: " in qfx("simulate", "project", "--inputs", "x.npy", "--out", "out.npy", cwd=home).stdout
    np.testing.assert_array_equal(np.load(home / "out.npy"), np.load(home / "project/golden/outputs.npy"))


def test_simulate_with_each_engine(home: Path) -> None:
    """A file that is mapped, in more than one chunk, through both engines; rewritten in place."""
    codes = np.random.default_rng(2).integers(0, 16, (20000, 2, 5, 6)).astype(np.uint8)
    np.save(home / "many.npy", codes)
    shown = qfx("simulate", "project", "--inputs", "many.npy", "--out", "sim.npy", "--threads", "2", cwd=home).stdout
    assert re.fullmatch(r"sim.npy: 20,000 samples of 4: ap_fixed<\d+, -?\d+> \[4\]; \d+\.\d s, [\d,]+ samples/s with sim\n", shown)
    qfx("simulate", "project", "--inputs", "many.npy", "--out", "many.npy", "--engine", "onnx", cwd=home)
    found = np.load(home / "sim.npy")
    assert found.dtype == np.load(home / "project/golden/outputs.npy").dtype
    np.testing.assert_array_equal(found, np.load(home / "many.npy"))
    missing = qfx("simulate", "project", "--inputs", "x.npy", "--out", "y.npy", "--engine", "torch", cwd=home, code=2)
    assert "error: there is no engine 'torch' for outputs; the engines are sim, onnx" in missing.stderr
    assert not (home / "y.npy").exists() and not list(home.glob(".qfx-*"))


def test_a_code_that_does_not_fit_leaves_no_file(home: Path) -> None:
    codes = np.zeros((40000, 2, 5, 6), np.uint8)
    codes[-1, 0, 0, 0] = 16
    np.save(home / "late.npy", codes)
    for engine in ("sim", "onnx"):
        arguments = ("--inputs", "late.npy", "--out", "never.npy", "--engine", engine)
        assert "outside 0..15" in qfx("simulate", "project", *arguments, cwd=home, code=2).stderr
        assert not (home / "never.npy").exists() and not list(home.glob(".qfx-*"))


def test_verify_outputs_only(home: Path) -> None:
    live = ("--model", "models:net", "--weights", "net.pt")
    arguments = ("--engines", "torch,sim,onnx", "--inputs", "x.npy", "--outputs-only")
    shown = qfx("verify", "project", *arguments, *live, cwd=home).stdout
    assert "torch = sim = onnx: 120 samples, 960 values compared (outputs only), 0 mismatches" in shown


def test_simulate_no_samples(home: Path) -> None:
    np.save(home / "empty.npy", np.zeros((0, 2, 5, 6), np.uint8))
    refused = qfx("simulate", "project", "--inputs", "empty.npy", "--out", "nothing.npy", cwd=home, code=2)
    assert "the inputs hold no sample; give one or more" in refused.stderr and not (home / "nothing.npy").exists()


def test_info(home: Path) -> None:
    text = qfx("info", "project", cwd=home).stdout
    for part in (
        "graph network",
        "ap_ufixed<4, 2>",
        "float32",
        "mult.",
        "shift-adds",
        "total",
        "120 recorded samples",
        "xczu3eg",
    ):
        assert part in text


def test_info_of_a_model_in_training(home: Path) -> None:
    model = ("info", "models:net", "--weights", "net.pt")
    text = qfx(*model, cwd=home).stdout.replace("│", "")
    assert re.search(r"2\.quant +unsigned 4, frac 2 +2\.000 +$", text, re.M)
    text = qfx(*model, "--sample", "x.npy", cwd=home).stdout.replace("│", "")
    assert re.search(r"1\.weight_quant +signed 5, frac 4 +4\.000 +\d\.\d\d +\d+\.\d{3}% +\d+\.\d{3}% +$", text, re.M)
    assert "models:net makes a model, but its weights are missing" in qfx("info", "models:net", cwd=home, code=2).stderr
    message = "project is no network; --weights and --sample are for module:factory, --sample for a file of qfx.save, too"
    assert message in qfx("info", "project", "--sample", "x.npy", cwd=home, code=2).stderr
    assert "there is no file none.pt" in qfx("info", "models:net", "--weights", "none.pt", cwd=home, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("models", "net.pt", "x.npy"), "'models' does not name a model; write module:factory, such as models:make_net"),
        (("nowhere:net", "net.pt", "x.npy"), "importing nowhere failed: ModuleNotFoundError: No module named 'nowhere'"),
        (("models:nothing", "net.pt", "x.npy"), "module models has no function nothing"),
        (("models:number", "net.pt", "x.npy"), "what models:number() made is 3; a torch.nn.Module is wanted"),
        (("models:broken", "net.pt", "x.npy"), "models:broken() failed: KeyError: 'no such layer' ("),
        (("models:leaves", "net.pt", "x.npy"), "models:leaves() failed: SystemExit: bye ("),
        (("models:net", "none.pt", "x.npy"), "there is no file none.pt"),
        (("models:net", "x.npy", "x.npy"), "x.npy is neither a file of qfx.save nor a state dict of torch.save or safetensors: "),
        (("models:net", "list.pt", "x.npy"), "list.pt holds a list; save model.state_dict()"),
        (("models:plain", "net.pt", "x.npy"), "net.pt is that of a network with formats, and the model has none; make the network"),
        (("models:net", "net.pt", "none.npy"), "none.npy cannot be read: No such file or directory"),
        (("models:net", "net.pt", "net.pt"), "net.pt is an archive of arrays; give one .npy file"),
        (("models:net", "net.pt", "flat.npy"), "flat.npy has shape (3,); samples are wanted as (count, channel, height, width)"),
        (("models:net", "net.pt", "high.npy"), "has codes from 16 to 16, outside 0..15 of ap_ufixed<4, 2>"),
    ],
)
def test_what_export_refuses(home: Path, arguments: tuple[str, str, str], message: str) -> None:
    torch.save([1], home / "list.pt")
    np.save(home / "flat.npy", np.zeros(3, np.uint8))
    np.save(home / "high.npy", np.full((1, 2, 5, 6), 16))
    model, weights, sample = arguments
    result = qfx("export", model, "--weights", weights, "--sample", sample, "--out", "refused", cwd=home, code=2)
    assert "error: " in result.stderr and message in result.stderr.replace("\n", " ")
    assert not (home / "refused").exists() and not list(home.glob(".qfx-*"))


def test_export_does_not_overwrite_unless_asked(home: Path) -> None:
    arguments = ("export", "models:net", "--weights", "net.pt", "--sample", "other.npy", "--out")
    assert "project exists already" in qfx(*arguments, "project", cwd=home, code=2).stderr
    qfx(*arguments, "again", cwd=home)
    assert qfx(*arguments, "again", "--overwrite", cwd=home).stderr == ""
    (home / "again/hls/layers.hpp").write_text("// mine")
    told = f"note: hls/layers.hpp in {home}/again changed after QFX wrote it; the former again is now {home}/again.edited\n"
    assert qfx(*arguments, "again", "--overwrite", cwd=home).stderr == told
    assert (home / "again.edited/hls/layers.hpp").read_text() == "// mine"
    (home / "theirs").mkdir(exist_ok=True)
    assert "theirs was not written by QFX" in qfx(*arguments, "theirs", "--overwrite", cwd=home, code=2).stderr


@pytest.mark.parametrize("command", [("info",), ("verify",), ("simulate", "--inputs", "x.npy", "--out", "y.npy")])
def test_no_project(home: Path, command: tuple[str, ...]) -> None:
    assert (
        "none is no directory; give the folder that `qfx export` wrote"
        in qfx(command[0], "none", *command[1:], cwd=home, code=2).stderr
    )


def test_an_output_that_cannot_be_written(home: Path) -> None:
    result = qfx("simulate", "project", "--inputs", "x.npy", "--out", "no/where.npy", cwd=home, code=2)
    assert "error: no/where.npy cannot be written: No such file or directory; make the folder no first" in result.stderr


def test_a_checkpoint_of_other_formats_makes_no_project(home: Path) -> None:
    """It once was exported, and verify agreed with the wrong network."""
    torch.save(narrow().state_dict(), home / "narrow.pt")
    result = qfx("export", "models:net", "--weights", "narrow.pt", "--sample", "x.npy", "--out", "wrong", cwd=home, code=2)
    for layer in ("1.weight_quant", "4.weight_quant", "4.bias_quant"):
        assert f"{layer}: narrow.pt has 4 bits signed, AP_RND, AP_SAT; the network has 5 bits signed" in result.stderr
    assert not (home / "wrong").exists()
    live = ("--engines", "torch,sim", "--inputs", "other.npy", "--model", "models:net", "--weights", "narrow.pt")
    assert "narrow.pt has 4 bits signed" in qfx("verify", "project", *live, cwd=home, code=2).stderr


def test_a_saved_network_stands_for_factory_and_weights(home: Path) -> None:
    save(net(), home / "whole.qfx")
    qfx("export", "whole.qfx", "--sample", "x.npy", "--out", "whole", cwd=home)
    assert open_project(home / "whole").manifest.model == "whole.qfx"
    for file in ("graph.json", "hls/weights.hpp", "golden/outputs.npy"):
        assert (home / "whole" / file).read_bytes() == (home / "project" / file).read_bytes()
    arguments = ("--engines", "torch,sim", "--inputs", "other.npy", "--model", "whole.qfx")
    assert "torch = sim: 5 samples" in qfx("verify", "whole", *arguments, cwd=home).stdout
    shown = qfx("info", "whole.qfx", "--sample", "x.npy", cwd=home).stdout
    factory = qfx("info", "models:net", "--weights", "whole.qfx", "--sample", "x.npy", cwd=home).stdout
    assert "whole.qfx" in shown and shown.splitlines()[1:] == factory.splitlines()[1:]


def _heed_interrupts() -> None:
    """A shell's background job ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_export_leaves_nothing(home: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The process is stopped while the project is half-written; the factory's module has the writing wait."""
    waiting = (home / "models.py").read_text() + (
        "\nimport time\nfrom pathlib import Path\nimport qfx.project.write\n"
        "def _wait(*_):\n    Path('started').touch()\n    time.sleep(60)\n"
        "qfx.project.write._write_graph = _wait\n"
    )
    (tmp_path / "models.py").write_text(waiting)
    command = [
        str(QFX),
        "export",
        "models:net",
        "--weights",
        str(home / "net.pt"),
        "--sample",
        str(home / "x.npy"),
        "--out",
        "a/project",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_interrupts)
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list((tmp_path / "a").iterdir())) == 1
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number and "Traceback" not in errors
    assert not (tmp_path / "a").exists()
