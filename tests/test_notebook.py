"""What results look like at a prompt and in a notebook: short, and every text escaped."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from qfx import notebook
from qfx.engines import Difference, LayerReport, Report
from qfx.export.accelerator import Accelerator, AcceleratorOptions, accelerate
from qfx.fixed import FixedType
from qfx.ops import ReLU
from qfx.ops.sampling import random_codes
from qfx.project import Project, write_project
from tests.hls.build import S6, chain, image

GRAPH = chain("tiny", image(S6, 2, 3, 3), (ReLU(), []))
FIRST = Difference("a<b", "relu", 3, (0, 1), ("onnx",), {"sim": 1, "onnx": 2}, FixedType(True, 8, 4), {})
REPORT = Report(("sim", "onnx"), 1200, (LayerReport("a<b", "relu", "ap_fixed<8, 4>", 10, 12000, 1),), FIRST)


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return accelerate(GRAPH, AcceleratorOptions(folding="plain"))


@pytest.fixture(scope="module")
def project(accelerator: Accelerator, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return write_project(accelerator, tmp_path_factory.mktemp("home") / "project", random_codes(S6, (5, 2, 3, 3), 1))


def html(shown: str) -> list[str]:
    """All texts of an HTML fragment, which is well formed."""
    return list(ET.fromstring(f"<all>{shown}</all>").itertext())


def test_a_graph() -> None:
    assert repr(GRAPH) == "Graph('tiny', 1 nodes: x: ap_fixed<6, 3> [2, 3, 3] -> step0: ap_ufixed<5, 2> [2, 3, 3])"
    assert html(GRAPH._repr_html_())[-4:] == ["step0", "relu", GRAPH.values["step0"].type.ap_name, "[2, 3, 3]"]  # pyright: ignore[reportPrivateUsage]


def test_an_accelerator(accelerator: Accelerator) -> None:
    interval = accelerator.design.schedule.interval
    assert repr(accelerator).startswith("Accelerator('tiny' on ultra96: ")
    assert f"a frame every {interval} cycles at 187.5 MHz, estimated)" in repr(accelerator)
    shown = html(accelerator._repr_html_())  # pyright: ignore[reportPrivateUsage]
    assert {"step0", "relu", "total", "dsp", str(interval)} <= set(shown)


def test_a_project(project: Project) -> None:
    assert repr(project) == f"Project('{project.path}': tiny, engines sim, onnx, csim; ultra96, 5.333 ns)"
    changed = replace(project, changed=("hls/<a>",))
    assert repr(changed).endswith("5.333 ns, 1 files of the C++ changed)")
    assert html(changed._repr_html_())[-3:] == ["changed", "hls/<a>", "differs from the manifest"]  # pyright: ignore[reportPrivateUsage]


def test_a_report() -> None:
    assert repr(REPORT) == "Report(sim, onnx: 1,200 samples, 12,000 values compared, 1 mismatches)"
    assert repr(replace(REPORT, layers=(), first=None, outputs_only=True)) == (
        "Report(sim = onnx: 1,200 samples, 0 values compared (outputs only), 0 mismatches)"
    )
    shown = html(REPORT._repr_html_())  # pyright: ignore[reportPrivateUsage]
    assert "a<b" in shown and shown[-1] == FIRST.text()


def test_what_is_shown_is_escaped() -> None:
    shown = notebook.table("<script>", ("<b>",), [("<i>",), (1234567,)]) + notebook.text("<u>")
    assert html(shown) == ["<script>", "<b>", "<i>", "1,234,567", "<u>"]
