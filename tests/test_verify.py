"""`verify` on a project: which engines, which inputs, and the C++ judged as it lies there."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from qfx.engines.onnx_engine import OnnxEngine, load_model
from qfx.engines.recorded import RecordedTorch, record
from qfx.errors import InputError, ProjectError, ToolMissingError
from qfx.fixed import IntArray
from qfx.ir import Graph
from qfx.ops.sampling import random_codes
from qfx.project import Project, open_project, verify, write_project
from qfx.project import write as module
from qfx.project.verification import choose_samples
from qfx.sim import Simulator
from tests.networks import residual_network

GRAPH = residual_network()
IMAGES = random_codes(GRAPH.values["x"].type, (110, 2, 5, 6), 3)
OTHERS = random_codes(GRAPH.values["x"].type, (7, 2, 5, 6), 4)
ELEMENTS = sum(GRAPH.values[node.name].size for node in GRAPH.nodes)


def record_simulator(graph: Graph, model: object, samples: IntArray, file: Path, *_: object) -> None:
    """Records what a torch model would compute, without one."""
    record(graph, Simulator(graph), samples, 16, file)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "net"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_record_torch", record_simulator)
        write_project(GRAPH, path, IMAGES, model=object())  # pyright: ignore[reportArgumentType]
    return path


@pytest.fixture
def project(written: Path) -> Project:
    return open_project(written)


@pytest.fixture
def path(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "net"))


def test_all_engines_of_the_manifest_on_the_recorded_inputs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []
    monkeypatch.delenv("CXX", raising=False)
    report = verify(project, progress=lambda task, done, total: told.append((task, done, total)))
    assert report.engines == ("torch", "sim", "onnx", "csim")
    assert (report.samples, report.mismatches, report.values_compared) == (110, 0, 110 * ELEMENTS * 3)
    assert report.notes == ()
    prepared = ["prepare torch", "prepare sim", "prepare onnx", "prepare csim: g++ compiles the C++"]
    assert told[:8] == [(task, done, 1) for task in prepared for done in (0, 1)]
    assert told[8:-1] == [(f"run {engine}", done, 110) for engine in report.engines for done in (0, 110)]
    assert told[-1] == ("compare", 110, 110)


def change_one_weight(path: Path, table: str) -> None:
    """Flip the lowest bit of the first entry of a table of weights.hpp by hand."""
    file = path / "hls/weights.hpp"
    text = file.read_text()
    start = text.index("{0x", text.index(f"{table}[")) + 1
    end = text.index("u", start)
    word = text[start:end]
    file.write_text(text[:start] + f"{int(word, 16) ^ 1:#0{len(word)}x}" + text[end:])


@pytest.mark.parametrize(
    ("table", "layer"), [("body_conv_weight_table", "body.conv"), ("stem_bn_scale_table", "stem.bn"), ("head_weight_table", "head")]
)
def test_a_weight_changed_in_the_cpp_is_found_and_named(path: Path, table: str, layer: str) -> None:
    change_one_weight(path, table)
    report = verify(open_project(path))
    assert report.mismatches > 0 and report.first is not None
    assert (report.first.layer, report.first.engines) == (layer, ("csim",))
    assert report.notes == ("hls/weights.hpp differs from the manifest; it is judged as it lies there",)
    before = [node.name for node in GRAPH.nodes].index(layer)
    assert all(row.mismatches == 0 for row in report.layers[:before])


def test_an_onnx_model_with_another_weight_is_found(project: Project) -> None:
    model = load_model(project.onnx_file.read_bytes(), "model.onnx")
    tensor = next(t for t in model.graph.initializer if t.name == "body.conv/const0")
    weight = onnx.numpy_helper.to_array(tensor).astype(np.float32)
    weight.flat[0] += 1
    tensor.CopyFrom(onnx.numpy_helper.from_array(weight, tensor.name))
    values = OnnxEngine(GRAPH, model).run({"x": IMAGES})
    wanted = Simulator(GRAPH).run({"x": IMAGES})
    assert next(name for name in GRAPH.activations() if np.any(values[name] != wanted[name])) == "body.conv"


def test_engines_in_the_order_asked_for(project: Project) -> None:
    assert verify(project, ["onnx", "sim"], samples=5).engines == ("onnx", "sim")


def test_torch_is_left_out_for_inputs_that_are_not_recorded(project: Project) -> None:
    report = verify(project, inputs=OTHERS)
    assert (report.engines, report.samples, report.mismatches) == (("sim", "onnx", "csim"), 7, 0)
    assert report.notes == (
        "torch is left out: its values are recorded for the project's own inputs only; give the model to run it live",
    )
    with pytest.raises(ToolMissingError, match="its values are recorded for the project's own inputs only"):
        verify(project, ["torch", "sim"], OTHERS)


def test_torch_without_recorded_values(project: Project, tmp_path: Path) -> None:
    bare = write_project(GRAPH, tmp_path / "bare", IMAGES)
    assert bare.manifest.engines == ("sim", "onnx", "csim")
    with pytest.raises(ToolMissingError, match="the project has no recorded torch values; give the model to run it live"):
        verify(bare, ["torch", "sim"])


def test_recorded_inputs_in_any_order_and_number(project: Project) -> None:
    assert verify(project, ["torch", "sim"], IMAGES[::-7]).mismatches == 0
    assert verify(project, ["torch", "sim"], IMAGES, samples=20, seed=3).samples == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engines": ["sim", "vivado"]}, "there is no engine 'vivado'; the engines are torch, sim, onnx, csim"),
        ({"engines": ["sim"]}, "a comparison needs two engines or more, not sim"),
        ({"engines": ["sim", "onnx", "sim"]}, "an engine is named twice in sim, onnx, sim"),
        ({"samples": 0}, "0 samples cannot be compared; ask for 1 or more"),
        ({"samples": 111}, "111 samples were asked for, but there are 110; give a seed for random inputs"),
        ({"samples": 8, "inputs": OTHERS}, "8 samples were asked for, but there are 7"),
        ({"inputs": OTHERS[:0]}, "the inputs hold no sample; give one or more"),
        ({"inputs": OTHERS + 9}, "input 'x' has codes from 9 to 24, outside 0..15 of ap_ufixed<4, 2>"),
        ({"inputs": OTHERS[:, :1]}, "input 'x' has shape (7, 1, 5, 6), wanted (batch, 2, 5, 6)"),
    ],
)
def test_what_cannot_be_compared(project: Project, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        verify(project, **options)


def choose_inputs(*arguments: Any, **options: Any) -> npt.NDArray[np.integer]:
    """Of the only input."""
    (codes,) = choose_samples(*arguments, **options).values()
    return codes


def test_choice_of_inputs(project: Project) -> None:
    np.testing.assert_array_equal(choose_inputs(project), IMAGES)
    np.testing.assert_array_equal(choose_inputs(project, samples=4), IMAGES[:4])
    np.testing.assert_array_equal(choose_inputs(project, OTHERS, 3), OTHERS[:3])
    picked = choose_inputs(project, OTHERS, 3, 1)
    assert all(any(np.array_equal(row, other) for other in OTHERS) for row in picked) and len(picked) == 3


def test_random_inputs_come_from_the_seed(project: Project) -> None:
    inputs = choose_inputs(project, seed=1)
    assert inputs.shape == (100, 2, 5, 6) and inputs.min() == 0 and inputs.max() == 15
    np.testing.assert_array_equal(inputs, choose_inputs(project, seed=1))
    assert np.any(inputs != choose_inputs(project, seed=2))
    assert len(choose_inputs(project, samples=300, seed=1)) == 300 and len(choose_inputs(project, samples=2, seed=1)) == 2


def test_no_compiler(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolMissingError, match="'no-such-compiler' is not on PATH"):
        verify(project)


def test_no_onnxruntime(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ToolMissingError, match="engine onnx needs onnxruntime, which is not installed: pip install onnxruntime"):
        verify(project)


def test_a_broken_onnx_model() -> None:
    with pytest.raises(ProjectError, match=r"net/model.onnx is no valid ONNX model: "):
        load_model(b"hello", "net/model.onnx")


def test_a_model_that_onnxruntime_refuses(project: Project) -> None:
    model = load_model(project.onnx_file.read_bytes(), "model.onnx")
    next(node for node in model.graph.node if node.op_type == "Conv").op_type = "Convolution"
    with pytest.raises(ProjectError, match=r"ONNX Runtime refuses the model: .*Convolution"):
        OnnxEngine(GRAPH, model)


def tampered(file: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(arrays)
    np.savez(file, allow_pickle=False, **arrays)
    return file


def test_recorded_values(path: Path) -> None:
    file = path / "golden/torch.npz"
    values = RecordedTorch(GRAPH, file, IMAGES).run({"x": IMAGES[[5, 3]]})
    for name, codes in Simulator(GRAPH).run({"x": IMAGES[[5, 3]]}).items():
        np.testing.assert_array_equal(values[name], codes)
    with np.load(file) as archive:
        assert {str(archive[name].dtype) for name in archive.files} <= {"int8", "int16", "int32", "uint8", "uint16", "uint32"}
    with pytest.raises(ToolMissingError, match="torch values are recorded for the project's own inputs only"):
        RecordedTorch(GRAPH, file, IMAGES).run({"x": OTHERS})


def test_recorded_values_off_the_grid_are_kept(tmp_path: Path) -> None:
    class Fractional(Simulator):
        def run(self, inputs: Any) -> dict[str, Any]:
            return {name: codes + 0.25 for name, codes in super().run(inputs).items()}

    record(GRAPH, Fractional(GRAPH), IMAGES[:5], 2, tmp_path / "torch.npz")
    values = RecordedTorch(GRAPH, tmp_path / "torch.npz", IMAGES[:5]).run({"x": IMAGES[:5]})
    assert np.all(np.asarray(values["head"], np.float64) % 1 == 0.25)


def test_recorded_values_that_do_not_fit(path: Path) -> None:
    file = path / "golden/torch.npz"
    tampered(file, lambda arrays: arrays.update(value_0=arrays["value_0"][:3]))
    with pytest.raises(ProjectError, match=r"torch.npz: value 'stem.conv' has shape \(3, 3, 5, 6\), wanted \(110, 3, 5, 6\)"):
        RecordedTorch(GRAPH, file, IMAGES)
    tampered(file, lambda arrays: arrays.pop("value_3"))
    with pytest.raises(ProjectError, match=r"torch.npz has no array 'value_3'; export the project again"):
        RecordedTorch(GRAPH, file, IMAGES)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ProjectError, match=r"torch.npz is no NumPy .npz archive of numbers: .*; export the project again"):
        RecordedTorch(GRAPH, file, IMAGES)
