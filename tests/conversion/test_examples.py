"""The examples of conversion, one per family of networks: each converts, exports and verifies."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from qfx.project import open_project

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("convert_*.py"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(file.parent))  # as `python file` has it
    monkeypatch.setattr(sys, "argv", [str(file), str(tmp_path / "project")])
    runpy.run_path(str(file), run_name="__main__")
    last = capsys.readouterr().out.splitlines()[-1]
    found = re.fullmatch(r"torch = sim = onnx: ([\d,]+) values compared, 0 mismatches", last)
    graph = open_project(tmp_path / "project").graph
    assert found is not None, last
    assert int(found[1].replace(",", "")) == 20 * 2 * sum(graph.values[node.name].size for node in graph.nodes)


def test_there_are_five_families() -> None:
    assert [file.stem for file in EXAMPLES] == [
        "convert_mlp",
        "convert_mobilenet",
        "convert_resnet_cifar",
        "convert_resnet_imagenet",
        "convert_vgg",
    ]
