"""Resources, datapaths against what is known of them, memories, stages, and a chain of stages on a board."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qfx.errors import ExportError
from qfx.export.cost import (
    Accumulate,
    AdderTree,
    Control,
    Converter,
    Datapath,
    Fifo,
    Fold,
    LineBuffer,
    MacArray,
    MultiplierArray,
    Multiply,
    MultiplyKhot,
    Requantize,
    Resources,
    Rom,
    StageShape,
    best_packing,
    block_rams,
    buffer,
    coefficient_table,
    cost,
    dsp_blocks,
    elementwise,
    fifo,
    stage_parts,
    table,
)
from qfx.export.hls.board import load_board
from qfx.fixed import FixedType, Overflow, Rounding

ULTRA96 = load_board("ultra96")
CONV = StageShape(
    "conv1",
    "conv2d",
    in_channels=16,
    in_size=(32, 32),
    out_channels=32,
    out_size=(16, 16),
    fold=Fold(outputs=8, channels=4, taps=3),
    kernel=(3, 3),
    stride=(2, 2),
    padding=(1, 1),
    weight_width=8,
    accumulator_width=22,
    result_width=22,
)


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
    """OH OW (KH KW / T) (C / S) (O / PE) / P."""
    assert CONV.cycles == 16 * 16 * 3 * 4 * 4
    assert replace(CONV, fold=Fold(8, 4, 3, 2)).cycles == CONV.cycles // 2
    depthwise = replace(CONV, out_channels=16, groups=16, fold=Fold(4))
    assert depthwise.cycles == 16 * 16 * 9 * 4 and depthwise.word_lanes == 4
    assert elementwise("relu", "relu", 16, (8, 8), 4).cycles == 256


def test_cycles_are_at_least_the_words_that_come() -> None:
    shape = replace(CONV, fold=Fold(32, 16, 9))
    assert shape.cycles == shape.input_words == 32 * 32
    assert replace(shape, input_lanes=1).cycles == 32 * 32 * 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fold": Fold(outputs=5)}, "conv1: PE = 5 does not divide 32 output channels"),
        ({"fold": Fold(channels=3)}, "conv1: S = 3 does not divide 16 input channels of a group"),
        ({"fold": Fold(taps=2)}, "conv1: T = 2 does not divide 9 positions of the kernel"),
        ({"fold": Fold(pixels=3)}, "conv1: P = 3 does not divide 16 columns of the result"),
        ({"groups": 3}, "conv1: groups = 3 does not divide 16 input channels"),
        ({"kind": "softmax"}, "conv1: there is no kind of stage 'softmax'; known: conv2d, linear"),
        ({"multiplier": "fast"}, "conv1: there is no multiplier 'fast'; known: dsp, lut, khot, binary"),
    ],
)
def test_what_a_shape_refuses(change: dict[str, object], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        replace(CONV, **change)  # type: ignore[arg-type]


def test_the_parts_of_a_convolution() -> None:
    parts = stage_parts(CONV)
    assert parts["compute"].dsp == 8 * 12
    assert parts["weights"].lut == pytest.approx(8 * 8 * 12) and parts["weights"].lut_by_other == pytest.approx(8 * 8 * 12)
    assert parts["window"].lutram > 0 and parts["fifo"].lutram == 8 * 22 + 12 * 8
    assert cost(CONV).dsp == 96 and cost(CONV).lut == pytest.approx(sum(part.lut for part in parts.values()))
    assert cost(replace(CONV, storage="bram")).bram18 == block_rams(768, 48)


def test_khot_tables_hold_digits_and_no_dsp() -> None:
    khot = replace(CONV, multiplier="khot", digits=2)
    assert stage_parts(khot)["weights"].lut == pytest.approx(8 * 12 * 2 * 5) and cost(khot).dsp == 0


@pytest.mark.parametrize(
    "shape",
    [
        elementwise("a", "affine", 16, (8, 8), 4, weight_width=8, bias_width=12, x_width=16, result_width=25),
        elementwise("b", "affine", 16, (8, 8), 4, weight_width=8, bias_width=12, x_width=16, multiplier="khot", digits=2),
        elementwise("c", "add", 16, (8, 8), 4, y_width=9, shift=2),
        elementwise("d", "multiply", 16, (8, 8), 4, y_width=8, multiplier="lut"),
        elementwise("e", "requantize", 16, (8, 8), 4, x_width=20, dropped=6),
        elementwise("f", "relu", 16, (8, 8), 4),
        elementwise("g", "clamp", 16, (8, 8), 4, bounds=(0, 96)),
        elementwise("h", "prelu", 16, (8, 8), 4, weight_width=4, shift=3, multiplier="lut"),
        elementwise("i", "prelu", 16, (8, 8), 4, weight_width=4, shift=3),
        elementwise("j", "lookup", 16, (8, 8), 4),
        StageShape("k", "max_pool2d", 16, (8, 8), 16, (4, 4), Fold(4), (2, 2), (2, 2), groups=16),
        StageShape("l", "avg_pool2d", 16, (6, 6), 16, (1, 1), Fold(4), (6, 6), groups=16, weight_width=8, accumulator_width=14),
        StageShape("m", "linear", 64, (1, 1), 10, (1, 1), Fold(2, 8), weight_width=8, accumulator_width=22),
        StageShape("n", "convert", 16, (8, 8), 16, (8, 8), Fold(8), groups=16, input_lanes=2),
        elementwise("o", "copy", 16, (8, 8), 4),
    ],
    ids=lambda shape: f"{shape.name}-{shape.kind}",
)
def test_every_kind_of_stage(shape: StageShape) -> None:
    found, wider = cost(shape), cost(replace(shape, x_width=shape.x_width + 2))
    assert found.lut > 0 and found.ff > 0 and shape.cycles >= shape.input_words
    assert wider.lut >= found.lut


def test_converters_meet_at_the_common_divisor() -> None:
    shape = StageShape("c", "convert", 24, (4, 4), 24, (4, 4), Fold(6), groups=24, input_lanes=4)
    assert stage_parts(shape)["compute"].lut == pytest.approx(Converter(32, 16).luts() + Converter(16, 48).luts())
    assert stage_parts(replace(shape, input_lanes=6))["compute"] == Resources()
