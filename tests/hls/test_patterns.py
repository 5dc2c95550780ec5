"""The models of the kernels: each has one, and they carry the words that the plan says. What they say is held in test_threaded."""

from __future__ import annotations

from functools import cache

import pytest

from qfx.errors import ExportError
from qfx.export.hls.emit import Design, design
from qfx.export.hls.patterns import KERNELS, VARIANT, stage_name, stage_network
from qfx.export.hls.plan import Stage
from qfx.testing.choices import Seeded
from qfx.testing.graphs import hls_kinds, random_graph
from qfx.testing.projects import random_folding
from tests.hls.build import averaged, rows, several_ports, small_network
from tests.hls.test_folding import convolutions, pixel_folding, several_pixels
from tests.hls.test_new_kernels import joins, unaligned, wide
from tests.networks import residual_network


@cache
def plans() -> list[Design]:
    graphs = [small_network(), small_network(2), several_ports(), residual_network(), joins(), unaligned(), wide(), averaged(None)]
    graphs += [rows(), convolutions()]
    graphs += [random_graph(Seeded(seed), hls_kinds()) for seed in range(20)]
    found = [design(graph, folding) for graph in graphs for folding in (None, random_folding(graph, Seeded(1)))]
    return [*found, *(design(graph, pixel_folding(graph, 2)) for graph in (several_pixels(), averaged(None)))]


def test_every_kernel_has_a_pattern() -> None:
    named = {VARIANT.sub("", stage.call.split("<")[0]) for plan in plans() for stage in plan.stages}
    assert KERNELS.keys() - named == set(), "patterns of kernels that nothing names"
    assert named - KERNELS.keys() == set()


def test_a_kernel_without_a_pattern_is_named() -> None:
    plan = design(residual_network())
    odd = [*plan.stages, Stage("swirl<layer::head>", ("a", "b"))]
    with pytest.raises(ExportError, match=r"stage 'swirl<layer::head>' has no pattern in export/hls/patterns.py"):
        stage_network(plan.wiring, plan.layers, odd)


def test_stage_names_are_unique() -> None:
    for plan in plans():
        names = [stage_name(stage) for stage in plan.stages]
        assert len(set(names)) == len(names)


def test_streams_carry_what_the_plan_says() -> None:
    for plan in plans():
        words = {name: len(at) for process in plan.network.processes for name, at in process.frame.writes.items()}
        assert {stream.name: words[stream.name] for stream in plan.streams} == {s.name: s.frame_words for s in plan.streams}
