"""The model of every kernel against its template, and against what the compiled C++ does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qfx.errors import ExportError
from qfx.export.hls.emit import Design, design
from qfx.export.hls.patterns import KERNELS, NUMBERED, design_network, stage_name
from qfx.export.hls.plan import Stage
from qfx.ir import Graph
from qfx.ops import OPS
from tests.hls.build import small_network, several_ports
from tests.networks import residual_network
from tests.ops.conformance import many_samples, samples_of

ROOT = Path(__file__).parents[2]
KERNEL = re.compile(r"^void (\w+(?:\{\{.*?\}\}\w*)*)\(", re.MULTILINE)


def networks() -> list[Graph]:
    return [small_network(), small_network(2), several_ports(), residual_network()]


def every_sample() -> Graph:
    """All samples of all ops in one network."""
    return many_samples([sample for kind in OPS for sample in samples_of(kind)])


def test_every_kernel_has_a_pattern() -> None:
    named = {NUMBERED.sub(r"\1", stage.call.split("<")[0]) for graph in (*networks(), every_sample()) for stage in design(graph).stages}
    assert named - KERNELS.keys() == set()
    assert KERNELS.keys() - named == set(), "patterns that no sample of an op reaches"


def test_a_kernel_without_a_pattern_is_named() -> None:
    plan = design(residual_network())
    odd = Design(plan.wiring, plan.layers, [*plan.stages, Stage("swirl<layer::head>", ("a", "b"))])
    with pytest.raises(ExportError, match=r"stage 'swirl<layer::head>' has no pattern in export/hls/patterns.py"):
        design_network(odd)


def test_stage_names_are_unique() -> None:
    names = [stage_name(stage) for stage in design(every_sample()).stages]
    assert len(set(names)) == len(names)


def test_streams_carry_what_the_plan_says() -> None:
    for graph in (*networks(), every_sample()):
        plan = design(graph)
        patterns = {name: pattern for pattern in design_network(plan).patterns(1).values() for name, pattern in pattern.writes.items()}
        assert {stream.name: stream.frame_words for stream in plan.streams}.items() <= {k: len(v) for k, v in patterns.items()}.items()
