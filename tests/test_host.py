"""Post-processing on the CPU: what a model may end in, what a project says about it, and what `qfx.host` computes."""

from __future__ import annotations

import dataclasses
import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import qfx.nn as qnn
from qfx import host
from qfx.cli.simulate import SimulateOptions, simulate_project
from qfx.engines.torch_engine import TorchEngine
from qfx.errors import GraphError, InputError, LoweringError
from qfx.fixed import FixedType
from qfx.frontend import lower
from qfx.ir import Graph, GraphBuilder, HostStep, load_graph, save_graph
from qfx.ops import ReLU
from qfx.project import open_project, verify, write_project
from qfx.project.manifest import read_manifest
from qfx.sim import Simulator
from tests.test_cli import MODELS, qfx
from tests.user_models import classifier

S6 = FixedType(True, 6, 3)


class Ending(qnn.Model):
    """Three features, negated, and an ending."""

    def __init__(self, ending: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.given, self.ending = qnn.QuantInput(type=S6), ending

    def forward(self, x: Tensor) -> Any:
        return self.ending(-self.given(x))


def two(x: Tensor) -> Any:
    values, indices = x.topk(2)
    return indices, x, x.softmax(1), values


def test_outputs_and_steps_in_any_order() -> None:
    model = Ending(two)
    graph = lower(model, (5,))
    assert graph.outputs == ["neg"]
    steps = [(step.name, step.kind) for step in graph.host]
    assert steps == [("topk.indices", "topk_indices"), ("softmax", "softmax"), ("topk.values", "topk")]
    assert graph.text().endswith(
        "output neg\n  host   topk.indices = topk_indices(axis=0, count=2) of neg\n"
        "  host   softmax = softmax(axis=0) of neg\n  host   topk.values = topk(axis=0, count=2) of neg"
    )
    codes = {"x": np.array([[3, -8, 9, 4, 31], [0, 1, 2, 3, -32]])}
    outputs = Simulator(graph).run(codes)
    np.testing.assert_array_equal(TorchEngine(model, graph).run(codes)["neg"], outputs["neg"])
    indices, logits, probabilities, values = model(torch.from_numpy(codes["x"]))
    found = host.results(graph, outputs)
    assert [*found] == host.names(graph) == ["topk.indices", "softmax", "topk.values"]
    np.testing.assert_array_equal(found["topk.indices"], indices.numpy())
    np.testing.assert_array_equal(found["topk.values"], values.numpy())
    np.testing.assert_array_equal(S6.to_real(outputs["neg"]), logits.numpy())
    np.testing.assert_allclose(found["softmax"], probabilities.numpy(), rtol=1e-5)  # floating point, rounded otherwise


@pytest.mark.parametrize("largest", [True, False])
def test_of_equal_elements_the_first(largest: bool) -> None:
    step = HostStep("y", "topk_indices", "x", 0, 3, largest)
    assert host.apply(step, np.array([[2, 7, 2, 7]]), S6).tolist() == [[1, 3, 0] if largest else [0, 2, 1]]


def test_softmax_of_large_codes_does_not_overflow() -> None:
    wide, codes = FixedType(True, 40, 0), np.array([[1 << 38, (1 << 38) - 1, 0]])
    found = host.apply(HostStep("y", "softmax", "x", 0), codes, wide)
    np.testing.assert_allclose(found, [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0]], rtol=1e-15)
    logs = host.apply(HostStep("y", "log_softmax", "x", 0), codes, wide)
    np.testing.assert_allclose(np.exp(logs), found, rtol=1e-15)


def test_a_graph_keeps_its_steps(tmp_path: Path) -> None:
    graph = lower(Ending(two), (5,))
    save_graph(graph, tmp_path)
    assert load_graph(tmp_path).host == graph.host


def ended(step: HostStep) -> Graph:
    build = GraphBuilder("ended")
    x = build.input("x", S6, (3, 4))
    return build.build(build.add("y", ReLU(), x), host=[step])


GOOD = HostStep("p", "softmax", "y", 1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"source": "x"}, "host step 'p' reads 'x', which is no output"),
        ({"name": "y"}, "host step 'y' has the name of another value"),
        ({"kind": "erf"}, "host step 'p' is of unknown kind 'erf'; known are softmax, log_softmax, topk, topk_indices"),
        ({"axis": 2}, r"host step 'p': 'y' \(3, 4\) has no axis 2"),
        ({"count": 1}, "host step 'p': count 1 does not fit an axis of 4"),
        ({"kind": "topk"}, "host step 'p': count None does not fit an axis of 4"),
        ({"kind": "topk", "count": 5}, "host step 'p': count 5 does not fit an axis of 4"),
    ],
)
def test_steps_that_do_not_fit(change: dict[str, Any], text: str) -> None:
    assert ended(GOOD).host == [GOOD]
    with pytest.raises(GraphError, match=f"after construction: {text}"):
        ended(dataclasses.replace(GOOD, **change))


MIDDLES: list[tuple[Callable[[Tensor], Any], str]] = [
    (lambda x: x.softmax(1).argmax(1), r"argmax \(argmax\) at .*: it reads softmax, post-processing on the CPU, which can only"),
    (lambda x: operator.getitem(x.topk(2), 2), "it reads topk, post-processing on the CPU"),
    (lambda x: x.softmax(1)[0], "it reads softmax, post-processing on the CPU"),
    (lambda x: x.softmax(1).shape, "it reads softmax, post-processing on the CPU"),
    (lambda x: x.topk(6), "the 6 greatest of 5 do not exist; take 1 to 5"),
    (lambda x: x.softmax(0), "it works on the batch axis"),
]


@pytest.mark.parametrize(("ending", "text"), MIDDLES)
def test_what_is_refused(ending: Callable[[Tensor], Any], text: str) -> None:
    with pytest.raises(LoweringError, match=text):
        lower(Ending(ending), (5,))


def test_a_softmax_of_the_input_alone_is_no_network() -> None:
    with pytest.raises(LoweringError, match="has to return a computed tensor"):
        lower(nn.Sequential(qnn.QuantInput(type=S6), nn.Softmax(1)), (5,))


def test_outputs_alone_of_a_model_that_goes_on() -> None:
    """The model returns no output of the graph, so that they have to be observed."""
    model, codes = Ending(lambda x: x.softmax(1)).eval(), np.array([[1, 2, 3, 4, 5]])
    found = TorchEngine(model, lower(model, (5,)), outputs_only=True).run({"x": codes})
    assert found.keys() == {"neg"} and np.array_equal(found["neg"], -codes)


def test_from_export_to_probabilities(tmp_path: Path) -> None:
    """The whole way by the command line."""
    (tmp_path / "models.py").write_text(MODELS.read_text())
    torch.save(classifier().state_dict(), tmp_path / "net.pt")
    codes = np.random.default_rng(0).integers(0, 16, (9, 2, 5, 6)).astype(np.uint8)
    np.save(tmp_path / "x.npy", codes)
    line = "5 = softmax(axis=0) of 4"
    text = qfx("export", "models:classifier", "--weights", "net.pt", "--sample", "x.npy", "--out", "p", cwd=tmp_path).stdout
    assert f"post-processing on the CPU: {line}" in text
    assert line in qfx("info", "p", cwd=tmp_path).stdout
    project = tmp_path / "p"
    assert read_manifest(project).host == {"5": "softmax(axis=0) of 4"}
    for readme in (project / "README.md", project / "hls/README.md"):
        assert f"- `{line}`" in readme.read_text()
    stated = {item.key: item.value for item in onnx.load(project / "model.onnx").metadata_props}
    assert stated["qfx.host.5"] == "softmax(axis=0) of 4"
    report = verify(open_project(project), ["torch", "sim", "onnx"])
    assert report.first is None and report.notes == (f"{line} is post-processing on the CPU and is not compared",)

    simulate = ("simulate", "p", "--inputs", "x.npy", "--out")
    assert f"post-processing on the CPU: {line}" in qfx(*simulate, "codes.npy", cwd=tmp_path).stdout
    assert np.load(tmp_path / "codes.npy").dtype.kind == "i"
    assert "9 samples of 5; " in qfx(*simulate, "real.npy", "--host", cwd=tmp_path).stdout
    with torch.no_grad():
        wanted = classifier().eval()(torch.from_numpy(codes))
    np.testing.assert_allclose(np.load(tmp_path / "real.npy"), wanted.numpy(), rtol=1e-5)


def test_several_results_take_an_archive(tmp_path: Path) -> None:
    codes = np.array([[1, 2, 3, 4, 5]])
    write_project(lower(Ending(lambda x: x.topk(2)), (5,)), tmp_path / "p", codes)
    np.save(tmp_path / "x.npy", codes)
    with pytest.raises(InputError, match=r"2 outputs, topk.values, topk.indices; give --out a name that ends in .npz"):
        simulate_project(tmp_path / "p", SimulateOptions(tmp_path / "x.npy", tmp_path / "y.npy", host=True, quiet=True))
    simulate_project(tmp_path / "p", SimulateOptions(tmp_path / "x.npy", tmp_path / "y.npz", host=True, quiet=True))
    with np.load(tmp_path / "y.npz") as found:
        assert found["topk.values"].tolist() == [[-0.125, -0.25]] and found["topk.indices"].tolist() == [[0, 1]]


def test_older_manifests_leave_nothing_to_the_host(tmp_path: Path) -> None:
    write_project(lower(Ending(lambda x: x), (5,)), tmp_path / "p", np.array([[1, 2, 3, 4, 5]]))
    file = tmp_path / "p/manifest.json"
    document = json.loads(file.read_text())
    assert document.pop("host") == {}
    file.write_text(json.dumps(document))
    assert open_project(tmp_path / "p").manifest.host == {}
