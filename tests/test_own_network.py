"""A network that nobody prepared, through all engines; and a hand-changed weight that has to be found."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qfx.nn import Model
from qfx.project import Project, open_project, verify, write_project

EXAMPLE = Path(__file__).parents[1] / "examples/own_network.py"


@pytest.fixture(scope="module")
def network() -> tuple[Model, np.ndarray]:
    return runpy.run_path(str(EXAMPLE))["prepared"]()


@pytest.fixture(scope="module")
def project(network: tuple[Model, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    model, images = network
    folder = tmp_path_factory.mktemp("own") / "project"
    yield write_project(model.lower(images.shape[1:], name="own_network"), folder, images, model=model)


def test_all_engines_agree_at_every_value(project: Project, network: tuple[Model, np.ndarray]) -> None:
    report = verify(project, model=network[0])
    assert report.engines == ("torch", "sim", "onnx", "csim")
    assert report.samples == 100
    assert report.values_compared == 100 * 3 * sum(project.graph.values[node.name].size for node in project.graph.nodes)
    assert report.mismatches == 0, report.first


def test_one_step_in_one_weight_of_the_cpp_is_found_and_named(project: Project) -> None:
    weights = project.path / "hls/weights.hpp"
    text = weights.read_text()
    table = re.search(r"hidden_weight_table\[\d+\]\[\d+\] = \{\s*\{0x([0-9a-f]+)u", text)
    assert table is not None
    word = int(table[1], 16) ^ 1
    try:
        weights.write_text(text[: table.start(1)] + f"{word:0{len(table[1])}x}" + text[table.end(1) :])
        report = verify(open_project(project.path), engines=["sim", "csim"], samples=20)
    finally:
        weights.write_text(text)
    assert report.first is not None
    assert (report.first.layer, report.first.op) == ("hidden", "linear")
    wrong = [layer.name for layer in report.layers if layer.mismatches]
    assert wrong[0] == "hidden"
    assert all(name.startswith(("hidden", "head")) for name in wrong)


def test_a_model_inside_a_model_is_proved_as_part_of_it(network: tuple[Model, np.ndarray]) -> None:
    model, _ = network
    names = [proof.name for proof in model.exactness((3, 11, 7))]
    assert {"first.depthwise", "second.add", "head"} <= set(names)
