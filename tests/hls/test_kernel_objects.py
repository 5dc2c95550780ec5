"""What each kernel's object says of it, as far as no compiled C++ has to show it: test_threaded does."""

from __future__ import annotations

import re
from functools import cache

import pytest

from qfx.errors import ExportError
from qfx.export.hls.design import Design, design
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels import KERNELS, OP_KERNELS, SERVED, OpKernel, kernel_class, kernel_of
from qfx.export.hls.kernels.op import FIFO_DEPTH
from qfx.export.hls.names import identifier
from qfx.export.hls.node_folds import Candidates
from qfx.export.hls.operation import operation_of
from qfx.export.hls.render import Renderer
from qfx.ir import Graph
from qfx.ops import OPS, Shift
from qfx.testing.choices import Seeded
from qfx.testing.graphs import hls_kinds, random_graph
from qfx.testing.projects import random_folding
from tests.hls.build import averaged, rows, several_ports, small_network
from tests.hls.test_folding import convolutions, pixel_folding, several_pixels
from tests.hls.test_new_kernels import joins, unaligned, wide
from tests.networks import residual_network


def graphs() -> list[Graph]:
    fixed = [small_network(), small_network(2), several_ports(), residual_network(), joins(), unaligned(), wide(), averaged(None)]
    return [*fixed, rows(), convolutions(), *(random_graph(Seeded(seed), hls_kinds()) for seed in range(20))]


@cache
def plans() -> list[Design]:
    found = [design(graph, folding) for graph in graphs() for folding in (None, random_folding(graph, Seeded(1)))]
    return [*found, *(design(graph, pixel_folding(graph, 2)) for graph in (several_pixels(), averaged(None)))]


def test_every_op_has_one_kernel() -> None:
    assert {op.kind for op in SERVED} == OPS.keys()
    for graph in graphs():
        for node in graph.nodes:
            operation = operation_of(graph, node)
            assert [kernel.serves for kernel in OP_KERNELS if kernel.serves is type(node.op) and kernel.fits(operation)] == [
                type(node.op)
            ]


def test_every_kernel_is_registered_and_used() -> None:
    """A class that is not in the list would never be found; one that no plan uses would not be tested."""
    used = {type(stage.kernel) for plan in plans() for stage in plan.stages}
    assert used == {kernel for kernel in KERNELS if kernel.functions}
    assert [kernel.__name__ for kernel in KERNELS if not kernel.functions] == ["Shift"]
    assert {kernel for kernel in _leaves(OpKernel) if kernel.__module__.startswith("qfx.")} == set(OP_KERNELS)


def _leaves(base: type) -> set[type]:
    below = base.__subclasses__()
    return {base} if not below else {leaf for kind in below for leaf in _leaves(kind)}


def test_functions_are_those_of_the_templates() -> None:
    """Each function that a stage calls stands in its header, has the name that its class states, and is taken."""
    kernels = {stage.kernel.function: stage.kernel for plan in plans() for stage in plan.stages}
    seen: set[str] = set()
    for function, kernel in kernels.items():
        own = [name for name in kernel.functions for ending in kernel.endings if _matches(name, ending, function)]
        assert len(own) == 1, function
        seen.add(own[0])
        assert f"void {function}(" in Renderer().headers([kernel.header])[kernel.header.name]
        assert identifier(function) == f"{function}_v", f"a layer called {function} would hide the kernel"
    assert seen == {name for kernel in KERNELS for name in kernel.functions}


def _matches(name: str, ending: str, function: str) -> bool:
    return re.fullmatch(f"{name.replace('#', '[0-9]+')}{ending}", function) is not None


INCLUDE = re.compile(r'^#include "(\w+)\.hpp"$', re.MULTILINE)


def test_headers_include_what_they_state() -> None:
    headers = {name: found for plan in plans() for header in plan.headers for name, found in header.all().items()}
    for name, header in headers.items():
        text = Renderer().headers([header])[name]
        assert INCLUDE.findall(text) == [need.name for need in header.needs], name


def test_headers_of_one_name_are_equal() -> None:
    """Kernels share headers; each states it, whichever comes first is printed."""
    found: dict[str, str] = {}
    for plan in plans():
        for stage in plan.stages:
            for name, text in Renderer().headers([stage.kernel.header]).items():
                assert found.setdefault(name, text) == text, name


def test_stage_names_are_unique() -> None:
    for plan in plans():
        names = [stage.name for stage in plan.stages]
        assert len(set(names)) == len(names)


def test_streams_carry_what_the_plan_says() -> None:
    for plan in plans():
        words = {name: len(at) for process in plan.network.processes for name, at in process.frame.writes.items()}
        assert {stream.name: words[stream.name] for stream in plan.streams} == {s.name: s.frame_words for s in plan.streams}


def test_iterations_hold_all_that_is_touched() -> None:
    for plan in plans():
        for stage in plan.stages:
            touched, last = stage.kernel.touched(), stage.kernel.iterations - 1
            for at in (*touched.reads.values(), *touched.writes.values()):
                assert len(at) == 0 or (at[0] >= 0 and at[-1] <= last and (at[1:] > at[:-1]).all()), stage.name


def test_plain_folds_are_choices_and_what_is_alike_costs_the_same() -> None:
    for graph in graphs()[:6]:
        candidates = Candidates(graph)
        for node in graph.nodes:
            operation = candidates.operation(node)
            folds = list(candidates.folds(node))
            plain = kernel_class(operation).plain(operation)
            assert plain in folds or plain.reads != (plain.writes,)
            for fold in folds[:: max(1, len(folds) // 4)]:
                kernel, found = kernel_of(operation, fold), candidates.of(node, fold)
                assert (found.fold, found.cycles, found.cost) == (fold, kernel.cycles, kernel.node_resources(FIFO_DEPTH))
                assert (found.cost.lut > 0) != kernel_class(operation).relabels(operation)


def test_a_label_costs_nothing_and_takes_no_cycles() -> None:
    graph = rows()
    node = graph.node("half")
    assert isinstance(node.op, Shift)
    kernel = kernel_of(operation_of(graph, node), Fold((1,), 1))
    assert kernel.cycles == 0 and kernel.node_resources(2).lut == 0
    with pytest.raises(ExportError, match="node 'half' is its operand's stream; there is no kernel for it"):
        _ = kernel.header
