"""What a project records of torch's values: all, the outputs, or a number of samples; and how verification copes with each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qfx.engines import comparison
from qfx.engines.comparison import compare_engines
from qfx.engines.protocol import Engine, Extent
from qfx.engines.recorded import extent_of, record
from qfx.errors import InputError, ToolMissingError
from qfx.files import File
from qfx.fixed import IntArray
from qfx.ir import Graph
from qfx.ops.sampling import random_codes
from qfx.progress import Progress
from qfx.project import Project, open_project, verify, write_project
from qfx.sim import Simulator
from tests.engines.test_comparison import Fake, bump
from tests.networks import residual_network

GRAPH = residual_network()
IMAGES = random_codes(GRAPH.values["x"].type, (110, 2, 5, 6), 3)
SIZES = {node.name: GRAPH.values[node.name].size for node in GRAPH.nodes}


def written(path: Path, what: str | int, engine: Engine | None = None) -> Project:
    """A project whose `torch` values are those of an engine, the simulator's if there is none."""

    def record_engine(
        graph: Graph, _: object, samples: dict[str, IntArray], file: File, extent: Extent, progress: Progress
    ) -> None:
        record(graph, engine or Simulator(graph), samples, 16, file, extent, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qfx.project.write._record_torch", record_engine)
        return write_project(GRAPH, path, IMAGES, object(), record=what)  # pyright: ignore[reportArgumentType]


def counts(project: Project, **options: int) -> dict[str, int]:
    report = verify(project, ["torch", "sim", "onnx"], **options)  # pyright: ignore[reportArgumentType]
    assert report.mismatches == 0 and report.values_compared == sum(layer.compared for layer in report.layers)
    return {layer.name: layer.compared for layer in report.layers}


def test_all_is_every_value_of_every_sample(tmp_path: Path) -> None:
    project = written(tmp_path / "net", "all")
    assert counts(project) == {name: 110 * size * 2 for name, size in SIZES.items()}
    assert (
        project.manifest.recorded == Extent() and "every value as PyTorch computed it" in (project.path / "README.md").read_text()
    )


def test_outputs_only(tmp_path: Path) -> None:
    project = written(tmp_path / "net", "outputs")
    with np.load(tmp_path / "net/golden/torch.npz") as archive:
        assert [archive[name].shape for name in archive.files] == [(110, 4)]
    assert counts(project) == {name: 110 * size * (2 if name == "head" else 1) for name, size in SIZES.items()}
    note = "torch's values are recorded of the outputs only, head; other layers are "
    assert verify(project, ["torch", "sim", "onnx"]).notes == (note + "compared without torch",)
    two = verify(project, ["sim", "torch"])
    assert two.notes == (note + "not compared",) and two.values_compared == 110 * 4
    assert verify(project, ["torch", "sim"], outputs_only=True).notes == ()
    assert "and the outputs as PyTorch computed them |" in (project.path / "README.md").read_text()


def test_a_wrong_output_is_found_where_outputs_alone_are_recorded(tmp_path: Path) -> None:
    class Off(Simulator):
        def run(self, inputs: object) -> dict[str, IntArray]:
            values = super().run(inputs)  # pyright: ignore[reportArgumentType]
            values["head"][:, 2] += 1
            return values

    report = verify(written(tmp_path / "net", "outputs", Off(GRAPH)), ["torch", "sim", "onnx"])
    assert report.mismatches == 110 * 2 and report.first is not None
    assert (report.first.layer, report.first.engines) == ("head", ("sim", "onnx"))


def test_a_number_of_samples(tmp_path: Path) -> None:
    project = written(tmp_path / "net", 7)
    assert len(project.inputs) == len(np.load(project.path / "golden/outputs.npy")) == 110
    assert json.loads((project.path / "manifest.json").read_text())["recorded"] == {"outputs_only": False, "samples": 7}
    assert "every value of the first 7 samples as PyTorch computed it" in (project.path / "README.md").read_text()
    assert counts(project) == {name: (7 * 2 + 103) * size for name, size in SIZES.items()}
    note = "torch's values are recorded of the first 7 of these 110 samples; the others are compared without torch"
    assert verify(project, ["torch", "sim", "onnx"]).notes == (note,)
    assert verify(project, ["torch", "sim"], samples=7).notes == ()
    assert verify(project, ["torch", "sim"], samples=8).values_compared == 7 * sum(SIZES.values())
    with pytest.raises(ToolMissingError, match="its values are recorded for the project's first 7 inputs only; give the model"):
        verify(project, ["torch", "sim"], IMAGES[50:])


@pytest.mark.parametrize("sample", [6, 7, 99])
def test_differences_of_the_others_are_found_before_and_behind_what_is_recorded(
    sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "CHUNK_BYTES", 8 * 3 * (60 + sum(SIZES.values())) * 20)
    images = random_codes(GRAPH.values["x"].type, (20, 2, 5, 6), 3)
    engines = [Fake("torch"), Fake("sim"), Fake("csim", bump("stem", min(sample, 19), (0, 1, 3)))]
    report = compare_engines(GRAPH, engines, images, extents={"torch": Extent(samples=7)})
    assert engines[0].batches == [7] and engines[1].batches == [7, 13]
    assert report.mismatches == 1 and report.first is not None
    assert (report.first.layer, report.first.sample, report.first.engines) == ("stem", min(sample, 19), ("csim",))
    assert list(report.first.codes) == (["torch", "sim", "csim"] if sample < 7 else ["sim", "csim"])


@pytest.mark.parametrize("what", ["some", "0", 0, -3, True, 2.5, "", None, "1e3", "²", "9" * 5000])
def test_what_cannot_be_recorded(what: object) -> None:
    with pytest.raises(InputError, match=r"what is recorded is `all`, `outputs` or a number of samples from 1 on, not"):
        extent_of(what)  # pyright: ignore[reportArgumentType]
    assert extent_of("12") == extent_of(12) == Extent(samples=12)


def test_more_than_there_is(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="torch's values of 111 samples were asked for, but the project has 110; give more samples"
    ):
        written(tmp_path / "net", 111)
    with pytest.raises(InputError, match="to record 'outputs' of torch's values takes the torch model; give `model`, or leave out"):
        write_project(GRAPH, tmp_path / "net", IMAGES, record="outputs")
    assert list(tmp_path.iterdir()) == []


def test_a_project_of_before_has_everything(tmp_path: Path) -> None:
    project = written(tmp_path / "net", "all")
    file = project.path / "manifest.json"
    document = json.loads(file.read_text())
    del document["recorded"]
    file.write_text(json.dumps(document))
    assert open_project(project.path).manifest.recorded == Extent()
