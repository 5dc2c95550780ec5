"""The models of the kernels: each has one, and they carry the words that the plan says. What they say is held in test_threaded."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest

from qfx.errors import ExportError
from qfx.export.hls.emit import Design, design
from qfx.export.hls.patterns import KERNELS, NUMBERED, design_network, stage_name
from qfx.export.hls.plan import Stage
from tests.hls.build import averaged, several_ports, small_network
from tests.hls.test_new_kernels import joins, unaligned, wide
from tests.networks import residual_network
from tests.random_choices import Seeded
from tests.random_networks import random_graph


@cache
def plans() -> list[Design]:
    graphs = [small_network(), small_network(2), several_ports(), residual_network(), joins(), unaligned(), wide()]
    return [design(graph) for graph in (*graphs, averaged(None), *(random_graph(Seeded(seed)) for seed in range(20)))]


def test_every_kernel_has_a_pattern() -> None:
    named = {NUMBERED.sub(r"\1", stage.call.split("<")[0]) for plan in plans() for stage in plan.stages}
    assert KERNELS.keys() - named == set(), "patterns of kernels that nothing names"
    assert named - KERNELS.keys() == set()


def test_a_kernel_without_a_pattern_is_named() -> None:
    plan = design(residual_network())
    odd = dataclasses.replace(plan, stages=[*plan.stages, Stage("swirl<layer::head>", ("a", "b"))])
    with pytest.raises(ExportError, match=r"stage 'swirl<layer::head>' has no pattern in export/hls/patterns.py"):
        design_network(odd)


def test_stage_names_are_unique() -> None:
    for plan in plans():
        names = [stage_name(stage) for stage in plan.stages]
        assert len(set(names)) == len(names)


def test_streams_carry_what_the_plan_says() -> None:
    for plan in plans():
        words = {name: len(at) for pattern in design_network(plan).patterns(1).values() for name, at in pattern.writes.items()}
        assert {stream.name: words[stream.name] for stream in plan.streams} == {s.name: s.frame_words for s in plan.streams}
