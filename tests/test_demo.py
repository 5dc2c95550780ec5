"""The demonstration, with networks that are calibrated but not trained: what is written, printed and returned."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from qfx.cli import demo
from qfx.cli.demo import formats, new_run, results_table, run_demo
from qfx.conversion import ConvertConfig, InputFormat, convert
from qfx.errors import ProjectError, ToolMissingError
from qfx.frontend import lower
from qfx.models import DigitsNet
from qfx.project import open_project
from qfx.training import arms as trained
from qfx.training.arms import Arm, load_digits

RAW = InputFormat((0.305,), (0.376,), 16.0)
FOUR = ConvertConfig.bits(4, input=RAW)


def arm(name: str, config: ConvertConfig, accuracy: float) -> Arm:
    """A small network that has seen data once."""
    torch.manual_seed(0)
    model = convert(DigitsNet((2, 4)), config=config, sample=load_digits().train_x[:64])
    return Arm(name, model, accuracy, config.activations)


def in_floats(name: str) -> Arm:
    """An arm without formats."""
    return dataclasses.replace(arm(name, FOUR, 99.0), bits=None)


def arms(*_: object, **__: object) -> list[Arm]:
    return [
        in_floats("float"),
        arm("ptq-2", ConvertConfig.bits(2, input=RAW), 40.0),
        arm("learned-4", FOUR, 98.0),
        arm("multiplier-free", ConvertConfig.multiplier_free(input=RAW), 96.5),
    ]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str, str]:
    """A run: its directory, exit code, standard output and standard error."""
    path = tmp_path_factory.mktemp("run") / "out" / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "train_arms", arms)
        code, texts = _captured(path)
    return (path, code, *texts)


def _captured(path: Path) -> tuple[int, tuple[str, str]]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_demo(path)
    return code, (out.getvalue(), err.getvalue())


def test_verify_json_has_the_totals_and_both_projects(outcome: tuple[Path, int, str, str]) -> None:
    document = json.loads((outcome[0] / "verify.json").read_text())
    assert document["engines"] == ["torch", "sim", "onnx", "csim"]
    assert (document["samples"], document["mismatches"]) == (360, 0)
    assert list(document["projects"]) == ["hls", "hls_khot"]
    assert document["values_compared"] == sum(item["values_compared"] for item in document["projects"].values())
    values = sum(layer["values"] for layer in document["layers"])
    assert document["values_compared"] == 360 * values * 3


def test_both_projects_are_complete(outcome: tuple[Path, int, str, str]) -> None:
    for folder, name in (("hls", "digits"), ("hls_khot", "digits_khot")):
        project = open_project(outcome[0] / folder)
        assert project.manifest.name == name and len(project.inputs) == 360 and project.torch_file is not None
        assert (outcome[0] / folder / "hls" / f"{name}.cpp").is_file()


def test_the_multiplier_free_graph_has_no_multiplication(outcome: tuple[Path, int, str, str]) -> None:
    graph = open_project(outcome[0] / "hls_khot").graph
    assert sum(node.op.cost(graph.operands(node)).multiplications for node in graph.nodes) == 0
    assert sum(node.op.cost(graph.operands(node)).shift_adds for node in graph.nodes) > 0


def test_metrics(outcome: tuple[Path, int, str, str]) -> None:
    metrics = json.loads((outcome[0] / "metrics.json").read_text())
    assert metrics["target"] == 97.0
    rows: dict[str, dict[str, Any]] = {row["name"]: row for row in metrics["arms"]}
    assert [row["accuracy"] for row in metrics["arms"]] == [99.0, 40.0, 98.0, 96.5]
    assert rows["learned-4"]["mismatches"] == 0 and rows["learned-4"]["multiplications"] > 0
    assert rows["multiplier-free"]["multiplications"] == 0 and "mismatches" not in rows["ptq-2"]


def test_a_missed_target_is_exit_code_1_and_named(outcome: tuple[Path, int, str, str]) -> None:
    _, code, _, errors = outcome
    assert code == 1
    said = [line for line in errors.splitlines() if not line.startswith("[")]
    assert said == ["multiplier-free: 96.50 % of the test images, below the target of 97 %"]


def test_the_table(outcome: tuple[Path, int, str, str]) -> None:
    text = outcome[2]
    assert "│ > multiplier-free" in text and "> differs, or misses the target of 97 %" in text and "> learned-4" not in text
    for part in ("float", "ptq-2", "learned-4", "multiplier-free", "98.00", "activations", "weights", "0 of "):
        assert part in text


def test_checkpoints_load_as_weights(outcome: tuple[Path, int, str, str]) -> None:
    state = torch.load(outcome[0] / "checkpoints" / "learned-4.pt", weights_only=True)
    arm("learned-4", FOUR, 98.0).model.load_state_dict(state)


def test_a_former_run_gives_way_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "demo"
    for name in ("first", "second"):
        with new_run(path) as folder:
            (folder / name).write_text("x")
            assert not (path / name).exists()
        assert sorted(file.name for file in path.iterdir()) == sorted([name, "run.json"])
    with pytest.raises(KeyboardInterrupt), new_run(path):
        raise KeyboardInterrupt
    assert sorted(file.name for file in path.iterdir()) == ["run.json", "second"]
    (tmp_path / "empty").mkdir()
    with new_run(tmp_path / "empty"):
        pass
    assert [file.name for file in (tmp_path / "empty").iterdir()] == ["run.json"]


@pytest.mark.parametrize("length", [0, 1, 10, 40])
def test_a_run_whose_manifest_was_cut_short_gives_way(tmp_path: Path, length: int) -> None:
    path = tmp_path / "demo"
    with new_run(path) as folder:
        for name in demo.WRITTEN - {"run.json"}:
            (folder / name).mkdir()
    (path / "run.json").write_bytes((path / "run.json").read_bytes()[:length])
    with new_run(path):
        pass
    assert [file.name for file in path.iterdir()] == ["run.json"] and demo.RUN in demo.WRITTEN


@pytest.mark.parametrize("manifest", [None, "", "{", "[]", '{"kind": "other"}'])
def test_files_of_others_are_not_cleared(tmp_path: Path, manifest: str | None) -> None:
    (tmp_path / "theirs").write_text("x")
    if manifest is not None:
        (tmp_path / "run.json").write_text(manifest)
    with (
        pytest.raises(
            ProjectError, match="holds files that no demonstration wrote, so it is not cleared; choose another directory"
        ),
        new_run(tmp_path),
    ):
        pass
    assert (tmp_path / "theirs").exists()


def test_a_link_or_a_file_is_not_cleared(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with (
            pytest.raises(ProjectError, match=f"{name} is no directory; choose another place for the demonstration"),
            new_run(tmp_path / name),
        ):
            pass


def test_missing_tools_stop_it_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolMissingError, match="'no-such-compiler' is not on PATH"):
        run_demo(tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []


def test_formats_of_a_network() -> None:
    one = arm("learned-4", FOUR, 98.0)
    text = formats(lower(one.model, (1, 8, 8)))
    assert text.startswith("weights 4 (") and "; scales 8 (" in text and "; activations 4 (" in text
    assert formats(None) == ""


def test_a_floating_point_arm_has_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def floats(*_: object, **__: object) -> list[Arm]:
        return [in_floats("learned-4")]

    monkeypatch.setattr(trained, "train_arms", floats)
    with pytest.raises(ProjectError, match="arm learned-4 is a floating-point network and cannot be exported"):
        run_demo(tmp_path / "demo", quiet=True)


def test_the_table_without_reports() -> None:
    rows = [demo.ArmResult(in_floats("float"), None, None)]
    assert results_table(rows).row_count == 1
