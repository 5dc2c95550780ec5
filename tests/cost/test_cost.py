"""Resources, datapaths against what is known of them, memories, and what kernels take."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from qfx.export.cost import (
    Accumulate,
    AdderTree,
    Control,
    Converter,
    Datapath,
    Fifo,
    LineBuffer,
    MacArray,
    MultiplierArray,
    Multiply,
    MultiplyKhot,
    Requantize,
    Resources,
    Rom,
    best_packing,
    block_rams,
    buffer,
    coefficient_table,
    dsp_blocks,
    fifo,
    table,
    total,
)
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels import OpKernel, kernel_of
from qfx.export.hls.kernels.convert import Convert
from qfx.export.hls.kernels.elementwise import Elementwise
from qfx.export.hls.kernels.pool import Pool
from qfx.export.hls.kernels.sliding_window import SlidingWindow
from qfx.export.hls.node_folds import choices
from qfx.export.hls.operation import operation_of
from qfx.export.hls.words import Words
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.ir import GraphBuilder, Value
from qfx.ops import Add, Affine, AvgPool2d, Clamp, Conv2d, Lookup, MaxPool2d, PReLU, ReLU
from qfx.ops import Multiply as OpMultiply
from qfx.ops import Requantize as OpRequantize
from qfx.ops.base import Op
from qfx.ops.sampling import activation, constant, khot_constant


def convolution(fold: Fold, **attributes: object) -> OpKernel[Op]:
    """16 channels of 32 x 32 to 32 channels of 16 x 16, all formats of 8 bits."""
    weight = constant("w", S8, (32, 16, 3, 3), 1)
    return kernel(Conv2d((2, 2), (1, 1), **attributes), fold, activation("x", S8, (16, 32, 32)), weight)  # type: ignore[arg-type]


def kernel(op: Op, fold: Fold, *operands: Value) -> OpKernel[Op]:
    """The kernel of an op alone."""
    build = GraphBuilder("one")
    values = [
        build.input(v.name, v.type, v.shape) if v.constant is None else build.constant(v.name, v.type, v.codes) for v in operands
    ]
    graph = build.build(build.add("it", op, *values))
    assert fold in choices(graph, graph.nodes[0])
    return kernel_of(operation_of(graph, graph.nodes[0]), fold)


def test_resources_add_up() -> None:
    agreed, open_ = Resources(lut=10.5, ff=4), Resources(lut=20, dsp=1, other_lut=30, uncertain=frozenset({"why"}))
    both = agreed + open_ * 2
    assert (both.lut, both.ff, both.dsp, both.other_lut, both.uncertain) == (50.5, 4, 2, 70.5, {"why"})
    assert (agreed + agreed).other_lut is None and (agreed + agreed).lut_by_other == 21
    assert both.rounded() == {"lut": 51, "ff": 4, "dsp": 2, "bram18": 0, "lutram": 0, "lut_by_other": 71}
    assert both.exceeds({"lut": 50, "ff": 4, "dsp": 1, "bram18": 0, "lutram": 0}) == {"lut": (51, 50), "dsp": (2, 1)}


@pytest.mark.parametrize(
    ("datapath", "luts", "tolerance"),
    [  # LUTs that yosys 0.23 was seen to use
        (Multiply(4, 4), 20, 0.1),
        (Multiply(8, 8), 116, 0.1),
        (Multiply(12, 12), 287, 0.1),
        (MultiplyKhot(8, 1, 3), 44, 0.1),
        (AdderTree(16, 8), 131, 0.02),
        (AdderTree(64, 16), 1065, 0.02),
        (Accumulate(24, 20), 24, 0.02),
        (Requantize(20, 6, 8), 25, 0.15),
        (Requantize(20, 6, 8, Rounding.TRN.value, Overflow.WRAP.value), 0, 0),
        (Fifo(32, 16), 43, 0.05),
        (LineBuffer(64, 64), 80, 0.02),
        (Rom(48, 128), 96, 0.02),
        (Control((30, 30, 9, 4)), 39, 0.05),
    ],
)
def test_the_model_is_near_what_was_measured(datapath: Datapath, luts: int, tolerance: float) -> None:
    assert datapath.luts() == pytest.approx(luts, rel=tolerance)


def test_both_sources_are_carried_where_they_disagree() -> None:
    eight = Multiply(8, 8).resources()
    assert eight.other_lut == 80 and Multiply(4, 4).resources().other_lut == 24
    assert eight.uncertain == {"multiply: yosys and FINN's published Vivado fit differ"}
    assert Rom(10, 32).resources().other_lut == 5 and Rom(10, 64).resources().other_lut is None


def test_every_kind_has_coefficients_and_a_source() -> None:
    known = coefficient_table()
    assert set(known["source"]) == {"tool", "command", "date"}
    kinds = {found.kind for found in _subclasses(Datapath) if found is not MacArray}
    assert kinds == set(known["coefficients"])


def _subclasses(base: type[Datapath]) -> list[type[Datapath]]:
    return [found for direct in base.__subclasses__() for found in (direct, *_subclasses(direct))]


def test_dsp_blocks() -> None:
    assert [dsp_blocks(*factors) for factors in ((8, 8), (27, 18), (18, 27), (27, 19), (28, 18), (40, 20))] == [1, 1, 1, 2, 2, 4]


def test_memories() -> None:
    assert (block_rams(36, 512), block_rams(37, 512), block_rams(18, 1024), block_rams(1, 16384), block_rams(72, 513)) == (
        1,
        2,
        1,
        1,
        4,
    )
    assert table(576, 1) == Resources()
    assert table(576, 128).lut == pytest.approx(1152) and table(576, 128).bram18 == 0
    assert table(576, 256) == Resources(bram18=16) and table(16, 512, "lut").lut == pytest.approx(128)
    assert buffer(64, 32).lutram == 40 and buffer(64, 32, "bram").bram18 == 2 and buffer(8, 1) == Resources(ff=8)
    assert buffer(64, 1024).bram18 == 4
    assert fifo(32, 16).lutram == 32 and fifo(64, 1024).bram18 == 4 and 0 < fifo(64, 1024).lut < 40


def test_an_array_in_luts_is_the_sum_of_its_parts() -> None:
    array = MultiplierArray(4, 9, "lut", 8, 4, 20)
    parts = 36 * Multiply(8, 4).luts() + 4 * AdderTree(9, 12).luts() + 4 * Accumulate(20, 16).luts()
    assert array.resources().lut == pytest.approx(parts) and array.resources().dsp == 0


def test_multipliers_by_kind() -> None:
    array = MultiplierArray(8, 16, "dsp", 8, 8, 24)
    packing = best_packing(FixedType(True, 8, 0), (-128, 127), (-128, 127))
    plain, packed = array.resources(), replace(array, packing=packing).resources()
    assert (plain.dsp, packed.dsp) == (128, 64)
    assert plain.lut_by_other < plain.lut and any("DSP48E2" in note for note in packed.uncertain)
    khot, binary = replace(array, multiplier="khot").resources(), MultiplierArray(8, 144, "binary", 1, 1, 12).resources()
    assert khot.dsp == 0 and khot.lut < replace(array, multiplier="lut").resources().lut
    assert binary.dsp == 0 and binary.lut == pytest.approx(8 * (48 * 2 + AdderTree(48, 2).luts() + 12), rel=0.01)


def test_cycles() -> None:
    """OH OW (KH KW / T) (C / S) (O / PE) / P, and at least what the window's stage takes."""
    found = convolution(Fold((4,), 8, 3))
    assert found.iterations == 16 * 16 * 3 * 4 * 4 == found.cycles
    fast = convolution(Fold((8,), 32, 9))
    assert fast.iterations == 16 * 16 * 2 and fast.window is not None
    assert fast.cycles == fast.window.iterations >= 32 * 32 * 2
    depthwise = kernel(Conv2d(padding=(1, 1), groups=16), Fold((4,), 4), X, constant("w", S8, (16, 1, 3, 3), 1))
    assert depthwise.iterations == 8 * 8 * 9 * 4
    assert kernel(ReLU(), Fold((4,), 4), X).iterations == 256 and kernel(ReLU(), Fold((32,), 32), X).iterations == 32


def test_the_parts_of_a_convolution() -> None:
    """The sums, the table of weights, the words that are read again and the counters; the window's stage beside them."""
    found = convolution(Fold((4,), 8, 3, "dsp", "lut"))
    sums = MultiplierArray(8, 12, "dsp", 8, 8, found.out.type.width)
    parts = [sums.resources(), table(8 * 12 * 8, 48), buffer(12 * 8, 12), Control((16, 16, 4, 3, 4)).resources()]
    assert found.resources().rounded() == total(parts).rounded() and found.resources().dsp == 96
    assert table(8 * 12 * 8, 48).lut == pytest.approx(8 * 8 * 12)
    window = found.window
    assert isinstance(window, SlidingWindow)
    lines = buffer(4 * 8, 32 * 4) * window.ring.lines + Resources(lut=32 * math.ceil((window.ring.lines - 1) / 3)) * 3
    assert window.resources().rounded() == (lines + Control((32, 128)).resources()).rounded()
    both = found.resources() + window.resources()
    assert found.node_resources().rounded() == both.rounded()
    behind = fifo(8 * found.out.type.width, 2) + fifo(12 * 8, 2)
    assert found.node_resources(2).rounded() == (both + behind).rounded()
    memory = convolution(Fold((4,), 8, 3, "dsp", "bram"))
    assert memory.resources().bram18 == block_rams(768, 48)


def test_khot_tables_hold_digits_and_no_dsp() -> None:
    weight = khot_constant("w", S8, (32, 16, 3, 3), 1, 2)
    found = kernel(Conv2d((2, 2), (1, 1), digits=2), Fold((4,), 8, 3, storage="lut"), activation("x", S8, (16, 32, 32)), weight)
    sums = MultiplierArray(8, 12, "khot", 8, 8, found.out.type.width, digits=2).resources()
    rest = buffer(12 * 8, 12) + Control((16, 16, 4, 3, 4)).resources()
    assert found.resources().lut - sums.lut - rest.lut == pytest.approx(8 * 12 * 2 * 5) and found.resources().dsp == 0


S8 = FixedType(True, 8, 4)
X = activation("x", S8, (16, 8, 8))
PER_CHANNEL = constant("c", S8, (16,), 3)
HOT = khot_constant("c", S8, (16,), 3, 2)
LANES = [
    (Affine(), (X, PER_CHANNEL, PER_CHANNEL), dsp_blocks(8, 8)),
    (Affine(2), (X, HOT, PER_CHANNEL), 0),
    (Add(), (X, activation("y", FixedType(True, 9, 2), X.shape)), 0),
    (OpMultiply(), (X, activation("y", S8, X.shape)), 1),
    (OpRequantize(FixedType(True, 5, 1)), (X,), 0),
    (ReLU(), (X,), 0),
    (Clamp(0, 96, 4), (X,), 0),
    (PReLU(), (X, PER_CHANNEL), 1),
    (Lookup(), (X, constant("t", S8, (256,), 2)), 0),
    (MaxPool2d((2, 2), (2, 2)), (X,), 0),
    (AvgPool2d((2, 4), (2, 4)), (X,), 0),
    (AvgPool2d((3, 3), (1, 1), reciprocal=FixedType(False, 8, 11)), (X,), 1),
]


@pytest.mark.parametrize(("op", "operands", "dsps"), LANES, ids=lambda value: value.kind if isinstance(value, Op) else "")
def test_lanes_cost_one_each(op: Op, operands: tuple[Value, ...], dsps: int) -> None:
    """What is not a counter or a table grows with the lanes."""
    one, four = (kernel(op, Fold((lanes,) * (1 + isinstance(op, (Add, OpMultiply))), lanes), *_named(operands)) for lanes in (1, 4))
    assert isinstance(one, Elementwise | Pool) and isinstance(four, Elementwise | Pool)
    tables = [found.tables() if isinstance(found, Elementwise) else Resources() for found in (one, four)]
    for found, lanes, own in ((one, 1, tables[0]), (four, 4, tables[1])):
        rest = found.lane() * lanes + own + found.counters()
        assert found.resources().rounded() == rest.rounded()
    assert one.lane().dsp == dsps and four.resources().dsp == 4 * dsps
    assert four.resources().lut > 0 and one.counters().lut > 0


def _named(operands: tuple[Value, ...]) -> list[Value]:
    """Operands with a name each."""
    return [replace(value, name=f"{value.name}{index}") for index, value in enumerate(operands)]


def test_wider_operands_cost_no_less() -> None:
    wide = activation("x", FixedType(True, 12, 4), X.shape)
    for op, operands, _ in LANES:
        if isinstance(op, Lookup):
            continue
        fold = Fold((4,) * (1 + isinstance(op, (Add, OpMultiply))), 4)
        narrow, wider = (kernel(op, fold, *_named((x, *operands[1:]))).node_resources(2) for x in (X, wide))
        assert wider.lut >= narrow.lut


def test_a_converter_is_a_datapath_and_counters() -> None:
    found = Convert(Words(X, 2), Words(X, 8))
    assert found.resources().rounded() == (Converter(16, 64).resources() + Control((512,)).resources()).rounded()
    assert (found.iterations, Convert(Words(X, 8), Words(X, 2)).iterations) == (512, 512)
