"""Kernels that move, join or select codes: in one network, with many readers and joins, at wide formats, and clean by the rules."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfx.export.hls.design import design
from qfx.export.hls.kernels.rearrange import counters_of
from qfx.export.hls.names import identifier
from qfx.export.hls.stage_settings import Code
from qfx.export.hls.validator import multiplications, validate
from qfx.fixed import FixedType, IntArray
from qfx.ir import Graph, GraphBuilder, Value
from qfx.ops import (
    Add,
    Affine,
    ArgMax,
    AvgPool2d,
    Clamp,
    Concat,
    Conv2d,
    Linear,
    Lookup,
    MaxPool2d,
    Multiply,
    Pad,
    Rearrange,
    Requantize,
    Reshape,
    Shift,
    Slice,
    Upsample,
)
from qfx.ops.sampling import constant, random_codes
from qfx.testing.projects import write_project
from tests.hls.build import S6, U4, chain, check_graphs, image

S4 = FixedType(True, 4, 3)


def gathered(build: GraphBuilder, *values: Value) -> Graph:
    """The graph whose output holds all values, one after the other."""
    flat = [build.add(f"flat{i}", Reshape((v.size,)), v) for i, v in enumerate(values)]
    return build.build(build.add("all", Concat(), *flat))


def joins() -> Graph:
    """A squeeze-and-excite block, shuffles and joins over `x` (16, 4, 6); values with up to nine readers."""
    build = GraphBuilder("joins")
    x = build.input("x", S6, (16, 4, 6))

    def part(
        name: str, starts: tuple[int, int, int], stops: tuple[int, int, int], steps: tuple[int, int, int] = (1, 1, 1)
    ) -> Value:
        return build.add(name, Slice(starts, stops, steps), x)

    low, high = part("low", (0, 0, 0), (8, 4, 6)), part("high", (8, 0, 0), (16, 4, 6))
    swapped = build.add("swapped", Concat(), high, low)
    squeezed = build.add("squeezed", AvgPool2d((4, 6), (1, 1), reciprocal=FixedType(False, 8, 12)), x)
    gate = build.add("gate", Requantize(U4), squeezed)
    excited = build.add("excited", Multiply(), swapped, gate)
    narrow = build.add("narrow", Requantize(U4), excited)
    thrice = build.add("thrice", Concat(), x, narrow, x)
    odd = part("odd", (1, 1, 0), (16, 4, 6), (3, 2, 4))
    single = part("single", (1, 1, 0), (2, 4, 6), (1, 2, 4))
    mixed = build.add("mixed", Concat(), odd, build.add("odd.limited", Clamp(-3, 9, 2), odd), single)
    square = build.add("square", Multiply(), x, x)
    looked = build.add("looked", Lookup(), narrow, build.constant("table", S6, random_codes(S6, (16,), 2)))
    large = build.add("large", Upsample((2, 3)), looked)
    border = build.add("border", Pad((2, 0), (1, 3), -32), large)
    shuffled = build.add("shuffled", Rearrange((4, 4, 4, 6), (1, 2, 0, 3), (4, 16, 6)), looked)
    return gathered(build, thrice, mixed, square, border, shuffled)


def wide() -> Graph:
    """Codes and bounds far beyond 32 bits."""
    build = GraphBuilder("wide")
    x = build.input("x", FixedType(True, 50, 30), (3, 3, 2))
    limited = build.add("limited", Clamp(-(3 << 44), 5 << 43, 31), x)
    y = build.add("bordered", Pad((1, 0), (0, 1), -(1 << 45) + 1), x)
    y = build.add("spread", Upsample((3, 2), True), y)
    z = build.add("other", Pad((0, 1), (1, 0), (1 << 44) + 3), x)
    flat = build.add("ends", Concat(), *(build.add(f"end{i}", Reshape((v.size,)), v) for i, v in enumerate((y, z))))
    found = build.add("found", ArgMax(), flat)
    entries = constant("entries", FixedType(True, 55, 31), (1 << found.type.width,), 4)
    looked = build.add("looked", Lookup(), found, build.constant("entries", entries.type, entries.codes))
    return gathered(build, looked, limited)


def unaligned() -> Graph:
    """Orders that nested counters cannot run through, one element, a place of each kind of border."""
    build = GraphBuilder("unaligned")
    x = build.input("x", S6, (4, 3, 3))
    y = build.add("mixed", Rearrange((6, 6), (1, 0), (4, 3, 3)), x)
    one = build.add("one", Slice((2, 1, 1), (3, 2, 2), (1, 1, 1)), y)
    same = build.add("same", Rearrange((1,), (0,), (1, 1, 1)), one)
    best = build.add("best", MaxPool2d((2, 3), (2, 2), (1, 1), (2, 1), (1, 2)), y)
    mean = build.add("mean", AvgPool2d((3, 2), (2, 1), (1, 1), FixedType(False, 9, 8), (1, 0), False), y)
    deep = build.constant("deep.weight", S4, random_codes(S4, (4, 1, 2, 2), 5))
    edge = build.add("deep", Conv2d((2, 1), (0, 1), groups=4, extra=(1, 2)), y, deep)
    pairs = build.constant("pairs.weight", S4, random_codes(S4, (2, 2, 2, 3), 6))
    half = build.add("pairs", Conv2d((1, 2), (1, 0), groups=2, extra=(2, 1)), y, pairs)
    return gathered(build, same, best, mean, edge, half)


def numbers() -> Graph:
    """Numbers, differences and joins along rows and columns of `x` (6, 3, 4)."""
    build = GraphBuilder("numbers")
    x = build.input("x", S6, (6, 3, 4))
    half = build.add("half", Shift(-1), x)

    def affine(name: str, of: Value, scale: int, offset: int, digits: int | None) -> Value:
        values = {"scale": (scale, FixedType(True, 6, 2)), "offset": (offset, FixedType(True, 4, 1))}
        found = [build.constant(f"{name}.{what}", type, np.array([code])) for what, (code, type) in values.items()]
        return build.add(name, Affine(digits), of, *found)

    negative, scaled = affine("negative", half, -1, 5, 1), affine("scaled", x, 27, 0, None)
    less = build.add("less", Add(minus=True), negative, half)
    rows = build.add("rows", Concat(1), less, build.add("part", Slice((0, 1, 0), (6, 2, 4), (1, 1, 1)), x), half)
    columns = build.add("columns", Concat(2), scaled, negative)
    doubled = build.add("doubled", Shift(1), columns)
    return gathered(build, rows, doubled, build.add("quarter", Shift(-1), half))


def test_many_readers_and_joins(tmp_path: Path) -> None:
    check_graphs([joins(), unaligned(), numbers()], tmp_path)


def test_numbers_are_cheap(tmp_path: Path) -> None:
    """A power of two has no stage, few digits no multiplication, one constant no table that is indexed."""
    project = write_project(numbers(), tmp_path)
    assert {stage for stage, products in multiplications(project / "hls").items() if products} == {"scaled"}
    top = (project / "hls/numbers.cpp").read_text()
    assert "half(" not in top and "doubled(" not in top and "quarter(" not in top
    assert "return negative_scale_table[0][0];" in (project / "hls/layers.hpp").read_text()
    kernels = functions(numbers())
    assert {name: kernels[name] for name in ("less", "rows", "columns")} == {
        "less": "add_minus",
        "rows": "concat3_words",
        "columns": "concat2_words",
    }


def test_wide_codes(tmp_path: Path) -> None:
    swapped = Rearrange((2, 2), (1, 0), (4,))
    features = chain("features", image(S6, 15), (Slice((1,), (14,), (4,)), []), (swapped, []), (ArgMax(), []))
    check_graphs([wide(), features], tmp_path)


@pytest.mark.parametrize("graph", [joins, unaligned, wide, numbers])
def test_the_rules_hold(graph: object, tmp_path: Path) -> None:
    project = write_project(graph(), tmp_path)  # type: ignore[operator]
    assert validate(project / "hls") == []


def test_only_products_multiply(tmp_path: Path) -> None:
    project = write_project(joins(), tmp_path)
    found = {stage for stage, products in multiplications(project / "hls").items() if products}
    assert found == {"squeezed", "excited", "square"}


def functions(graph: Graph) -> dict[str, str]:
    """C++ function of every node that has a stage."""
    return {stage.traits[0]: stage.kernel.function for stage in design(graph).stages if stage.node}


def test_kernels_that_fit() -> None:
    """Whole words move where the lanes line up; addresses are counted where the axes do."""
    kernels = {(graph.name, node): function for graph in (joins(), unaligned()) for node, function in functions(graph).items()}
    wanted = {
        ("joins", "low"): "slice_words",
        ("joins", "odd"): "slice",
        ("joins", "swapped"): "concat2_words",
        ("joins", "thrice"): "concat3_words",
        ("joins", "mixed"): "concat3",
        ("joins", "excited"): "multiply_channels",
        ("joins", "square"): "multiply_values",
        ("joins", "shuffled"): "rearrange4",
        ("unaligned", "mixed"): "rearrange_table",
        ("unaligned", "same"): "rearrange1",
        ("unaligned", "mean"): "avg_pool2d_places",
    }
    assert {name: kernels[name] for name in wanted} == wanted


def test_a_join_reads_copies_that_hold_enough() -> None:
    """The gate of a channel is known only after the frame; until then the other branch waits in the fork's copy."""
    plan = design(joins())
    copies = [stream for stream in plan.streams if stream.name.startswith("x_")]
    assert sum("_copy" in stream.name for stream in copies) == plan.wiring.reads["x"] == 9
    assert {stream.name: stream.depth for stream in copies} == {s.name: plan.schedule.depths[s.name].emitted for s in copies}
    assert max(stream.depth for stream in copies) > 4 * 6 * 2


def codes_of(dims: list[int]) -> IntArray:
    return np.arange(math.prod(dims), dtype=np.int64).reshape(dims)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=5).flatmap(
        lambda dims: st.tuples(st.just(dims), st.permutations(range(len(dims))))
    )
)
def test_counters_run_through_every_order_of_axes(case: tuple[list[int], list[int]]) -> None:
    dims, order = case
    addresses: IntArray = np.transpose(codes_of(dims), order).ravel()
    counters = counters_of(addresses)
    assert counters is not None and math.prod(count for count, _ in counters) == addresses.size
    found, digits, address = [0], [0] * len(counters), 0
    for _ in range(addresses.size - 1):
        level = next(k for k, (count, _) in enumerate(counters) if digits[k] != count - 1)
        digits = [0] * level + [digits[level] + 1, *digits[level + 1 :]]
        address += counters[level][1]
        found.append(address)
    assert found == addresses.tolist()


def test_no_counters_for_other_orders() -> None:
    assert counters_of(np.array([0, 1, 2, 4, 3, 5])) is None


@pytest.mark.parametrize(
    ("low", "high", "signed", "width"),
    [(0, 0, False, 1), (0, 8, False, 4), (-1, 0, True, 1), (-8, 7, True, 4), (-9, -9, True, 5), (-1, 8, True, 5)],
)
def test_the_type_that_covers_a_range(low: int, high: int, signed: bool, width: int) -> None:
    assert Code.covering("c", low, high) == Code("c", signed, width)


@pytest.mark.parametrize("name", ["concat3", "concat2_words", "rearrange5", "slice", "multiply_values", "add_minus"])
def test_names_of_kernels_are_taken(name: str) -> None:
    assert identifier(name) == f"{name}_v"


def test_linear_after_a_join(tmp_path: Path) -> None:
    """Two frames and more: nothing is left of the frame before."""
    build = GraphBuilder("net")
    x = build.input("x", U4, (5, 2, 3))
    both = build.add("both", Concat(), build.add("up", Upsample((1, 1)), x), x)
    flat = build.add("flat", Reshape((60,)), both)
    head = constant("w", S4, (4, 60), 3)
    y = build.add("head", Linear(), flat, build.constant("head.weight", head.type, head.codes))
    check_graphs([build.build(build.add("class", ArgMax(), y))], tmp_path)
