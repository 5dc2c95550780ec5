"""Packed multiplication: how many lanes and sums, the stored entries, the C++ at every combination, the RTL in one DSP48E2."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks._yosys import find_yosys
from qfx.errors import ExportError, ToolMissingError
from qfx.export.cost import Packing, best_packing, check_packing
from qfx.export.cost.packing import fits
from qfx.export.hls.cpp_tree import parse_project
from qfx.export.hls.kernels.packed import HEADER
from qfx.export.hls.render import Renderer
from qfx.export.hls.rules_code import FILE_RULES
from qfx.fixed import FixedType
from qfx.sim.headers import find_ap_types

pytestmark = pytest.mark.compiler

S8, U8 = FixedType(True, 8, 0), FixedType(False, 8, 0)
S4, U4 = FixedType(True, 4, 0), FixedType(False, 4, 0)


def packing(x: FixedType, low: int, high: int) -> Packing:
    found = best_packing(x, (x.min_int, x.max_int), (low, high))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("x", "low", "high", "lanes", "lane_width", "accumulations", "stored"),
    [
        (S8, -128, 127, 2, 18, 7, 17),
        (U8, -128, 127, 2, 18, 4, 17),
        (S8, -127, 127, 2, 19, 16, 16),
        (S4, -8, 7, 3, 11, 15, 14),
        (U4, -8, 7, 3, 11, 8, 14),
    ],
)
def test_lanes_and_sums(x: FixedType, low: int, high: int, lanes: int, lane_width: int, accumulations: int, stored: int) -> None:
    found = packing(x, low, high)
    assert (found.lanes, found.lane_width, found.accumulations, found.stored_width) == (lanes, lane_width, accumulations, stored)
    assert found.packed_width <= 27 and found.x_bits <= 18 and found.dsps == 1


def test_narrower_ranges_of_x_allow_longer_sums() -> None:
    assert best_packing(U8, (0, 100), (-128, 127)) == replace(packing(U8, -128, 127), x_range=(0, 100))
    assert replace(packing(U8, -128, 127), x_range=(0, 100)).accumulations == 10


def test_longer_sums_with_fewer_lanes() -> None:
    found = best_packing(U4, (0, 15), (-8, 7), terms=9)
    assert found is not None and found.lanes == 2 and found.accumulations >= 9


def test_what_does_not_fit() -> None:
    assert best_packing(FixedType(True, 16, 0), (-(1 << 15), (1 << 15) - 1), (-128, 127)) is None
    assert best_packing(FixedType(True, 19, 0), (0, 1), (-2, 1)) is None


@pytest.mark.parametrize("lane_width", [3, 4, 5])
@pytest.mark.parametrize(("low", "high"), [(-2, 1), (-1, 1), (0, 3), (-4, 2)])
@pytest.mark.parametrize("signed", [True, False])
def test_the_bound_of_sums_is_exact(lane_width: int, low: int, high: int, signed: bool) -> None:
    """Over all sums of one product less or more than stated: the lanes come out right exactly as far as it says."""
    x = FixedType(signed, 2, 0)
    found = Packing(3, lane_width, 2, signed, (x.min_int, x.max_int), (low, high))
    for terms in range(1, 8):
        right = all(
            [lane(sum(terms * a * w << i * lane_width for i, w in enumerate(weights)), i, lane_width) for i in range(3)]
            == [terms * a * w for w in weights]
            for a in range(x.min_int, x.max_int + 1)
            for weights in itertools.product(range(low, high + 1), repeat=3)
        )
        if terms <= found.accumulations:
            assert right
        elif terms == found.accumulations + 1:
            assert not right


def lane(total: int, index: int, lane_width: int) -> int:
    """A lane read back as the kernel does it; the top one has all of its bits."""
    low = index * lane_width
    raw = (total >> low) + ((total >> (low - 1)) & 1 if index else 0)
    if index == 2:
        return raw
    half = 1 << (lane_width - 1)
    return (raw + half) % (2 * half) - half


def test_stored_entries() -> None:
    found = packing(S8, -128, 127)
    assert found.pack([-1, 0]) == 0x1FFFF  # the borrow of the lane below: 0 - 1
    assert found.pack([5, -3]) == 5 | (0x1FD << 8)
    with pytest.raises(ExportError, match=r"packing takes 2 weights from -128 to 127, not \[128, 0\]"):
        found.pack([128, 0])


def test_errors_name_the_layer_and_the_numbers() -> None:
    with pytest.raises(
        ExportError, match=r"conv1: 8 packed products are added in lanes of 18 bits, which hold 7; read the lanes back"
    ):
        check_packing(packing(S8, -128, 127), 8, "conv1")
    wide = replace(packing(S8, -128, 127), lane_width=20)
    assert not fits(wide)
    with pytest.raises(
        ExportError, match=r"conv1: 2 weights from -128 to 127 in lanes of 20 bits take 29 bits and x 8; a DSP48E2 takes 27"
    ):
        check_packing(wide, 1, "conv1")


def compiled(found: Packing, step: int, folder: Path) -> str:
    """What packed.cpp prints for this packing, through the real kernel."""
    for name, text in Renderer().headers([HEADER]).items():
        (folder / f"{name}.hpp").write_text(text)
    lowest, upper = found.fields[0], found.fields[-1]
    settings = {
        "X": f"{'ap_int' if found.x_signed else 'ap_uint'}<{found.x_width}>",
        "LANES": found.lanes,
        "LANE_WIDTH": found.lane_width,
        "LOWEST_WIDTH": lowest.high - lowest.low + 1,
        "FIELD_WIDTH": upper.high - upper.low + 1,
        "PACKED_WIDTH": found.packed_width,
        "STORED_WIDTH": found.stored_width,
        "PRODUCT_WIDTH": found.total_width,
        "X_LOW": found.x_range[0],
        "X_HIGH": found.x_range[1],
        "WEIGHT_LOW": found.weight_range[0],
        "WEIGHT_HIGH": found.weight_range[1],
        "TERMS": found.accumulations,
        "STEP": step,
    }
    defines = [f"-DQFX_{name}={value}" for name, value in settings.items()]
    headers = find_ap_types().path
    source, program = Path(__file__).with_name("packed.cpp"), folder / "packed"
    command = ["g++", "-std=c++14", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    command += ["-Wno-uninitialized", "-Wno-maybe-uninitialized", *defines, f"-I{folder}"]
    subprocess.run([*command, "-isystem", str(headers), str(source), "-o", str(program)], check=True)
    result = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 0, result.stdout
    return result.stdout.strip()


def products(found: Packing, step: int) -> str:
    """How many products the program compares."""
    weights = found.weight_range[1] - found.weight_range[0] + 1
    combinations = (found.x_range[1] - found.x_range[0] + 1) * weights**found.lanes
    return str(found.lanes * (-(-combinations // step) + 2 * 2**found.lanes))


@pytest.mark.parametrize(("x", "low", "high"), [(S8, -128, 127), (U4, -8, 7)])
def test_the_kernel_at_some_combinations(x: FixedType, low: int, high: int, tmp_path: Path) -> None:
    found = packing(x, low, high)
    step = 1 if x.width == 4 else 1009  # a prime: no code is left out for good
    assert compiled(found, step, tmp_path) == products(found, step)


@pytest.mark.full
@pytest.mark.parametrize(("x", "low", "high"), [(S8, -128, 127), (U8, -128, 127), (S8, -127, 127), (S4, -8, 7)])
def test_the_kernel_at_every_combination(x: FixedType, low: int, high: int, tmp_path: Path) -> None:
    found = packing(x, low, high)
    assert compiled(found, 1, tmp_path) == products(found, 1)


def test_the_kernel_keeps_the_coding_rules(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    for name, text in Renderer().headers([HEADER]).items():
        (tmp_path / "kernels" / f"{name}.hpp").write_text(text)
    assert [violation for source in parse_project(tmp_path) for rule in FILE_RULES for violation in rule(source)] == []


@pytest.mark.full
def test_the_rtl_takes_one_dsp() -> None:
    try:
        yosys = find_yosys()
    except ToolMissingError as error:
        pytest.skip(str(error))
    packings = [packing(x, low, high) for x, low, high in ((S8, -128, 127), (U8, -128, 127), (S4, -8, 7), (U4, -8, 7))]
    counts = yosys.synthesize(packings, "-nowidelut")
    assert [count.dsp for count in counts] == [1, 1, 1, 1]
    assert [count.ff for count in counts] == [found.flip_flops for found in packings]
