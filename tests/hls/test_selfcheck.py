"""The self-check of a project: its golden words against the open headers, and what it takes to fail it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, product
from pathlib import Path

import numpy as np
import pytest

from qfx.errors import ExportError
from qfx.export.hls import write_hls
from qfx.export.hls.board import load_board
from qfx.export.hls.design import design
from qfx.export.hls.modes import OVERFLOWS, ROUNDINGS
from qfx.export.hls.selfcheck import casts_of, golden_codes
from qfx.export.hls.validator import validate
from qfx.fixed import FixedType, Overflow, Rounding, cast
from qfx.ir import Graph, GraphBuilder
from qfx.ops import ReLU, Requantize
from qfx.sim.headers import find_ap_types
from qfx.testing.projects import frames, write_project
from tests.hls.build import S6, U4, chain, image, small_network

pytestmark = pytest.mark.compiler

WIDE = FixedType(True, 40, 30)
STUBS = Path(__file__).parents[2] / "hls_templates/csim"


def casts(modes: Sequence[tuple[Rounding, Overflow]]) -> Graph:
    """A wide input cast in each pair of modes."""
    build = GraphBuilder("modes")
    x = build.input("x", WIDE, (2,))
    targets = [FixedType(True, 5 + index % 4, index % 3) for index in range(len(modes))]
    return build.build(*(build.add(f"y{i}", Requantize(targets[i], *pair), x) for i, pair in enumerate(modes)))


def compile_part(hls: Path, name: str) -> None:
    """One source of the self-check, as it lies there, with the open headers."""
    command = [
        "g++",
        "-std=c++14",
        "-O0",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unknown-pragmas",
        f"-I{hls}",
        "-isystem",
        str(STUBS),
    ]
    command += ["-isystem", str(find_ap_types().path), "-c", "-o", f"{name}.o", f"selfcheck/{name}.cpp"]
    subprocess.run(command, cwd=hls, check=True)


def run(hls: Path, again: Sequence[str] = ("casts", "testbench")) -> subprocess.CompletedProcess[str]:
    """The self-check, of which these sources are compiled."""
    for name in again:
        compile_part(hls, name)
    subprocess.run(["g++", "-o", "selfcheck.out", "casts.o", "testbench.o"], cwd=hls, check=True)
    return subprocess.run([str(hls / "selfcheck.out")], capture_output=True, text=True)


def check_modes(modes: Sequence[tuple[Rounding, Overflow]], folder: Path) -> None:
    hls = write_project(casts(modes), folder) / "hls"
    good = run(hls)
    assert good.stderr == "" and good.returncode == 0
    assert re.fullmatch(rf"{len(modes)} casts, \d{{4,5}} words compared, 0 wrong\n", good.stdout)
    table = hls / "selfcheck/golden.hpp"
    source, result = re.findall(r"\{6, (0x\w+)ULL, (0x\w+)ULL\}", table.read_text())[100]
    wrong = f"{{6, {source}ULL, 0x{int(result, 16) ^ 1:x}ULL}}"
    table.write_text(table.read_text().replace(f"{{6, {source}ULL, {result}ULL}}", wrong))
    bad = run(hls, ["testbench"])
    assert bad.returncode == 1 and bad.stdout.endswith("words compared, 1 wrong\n")
    assert re.match(rf"ap_fixed<40, 10> to .*, as in y6: bits {source[2:]} become {result[2:]}, wanted ", bad.stderr)


def test_each_mode_passes_and_a_wrong_word_fails(tmp_path: Path) -> None:
    check_modes(list(zip(Rounding, cycle(Overflow))), tmp_path)


@pytest.mark.full
def test_every_pair_of_modes_passes(tmp_path: Path) -> None:
    check_modes(list(product(Rounding, Overflow)), tmp_path)


def test_other_arithmetic_fails(tmp_path: Path) -> None:
    """Tools that cast otherwise: stood in for by another mode in the layers."""
    hls = write_project(small_network(), tmp_path) / "hls"
    layers = hls / "layers.hpp"
    layers.write_text(layers.read_text().replace("AP_RND, AP_SAT>", "AP_RND_CONV, AP_SAT>"))
    result = run(hls)
    assert result.returncode == 1 and "AP_RND, AP_SAT>, as in" in result.stderr


def test_a_network_without_casts(tmp_path: Path) -> None:
    result = run(write_project(chain("net", image(S6, 2), (ReLU(), [])), tmp_path) / "hls")
    assert (result.returncode, result.stdout) == (0, "0 casts, 0 words compared, 0 wrong\n")


def test_equal_casts_are_checked_once() -> None:
    graph = chain("net", image(S6, 2), (Requantize(U4), []), (Requantize(S6), []), (Requantize(U4), []), (Requantize(S6), []))
    titles = [cast.title for cast in casts_of(design(graph).wiring)]
    assert titles == [
        "ap_fixed<6, 3> to ap_ufixed<4, 2, AP_RND, AP_SAT>, as in step0",
        "ap_ufixed<4, 2> to ap_fixed<6, 3, AP_RND, AP_SAT>, as in step1",
    ]


def test_its_top_keeps_the_coding_rules(tmp_path: Path) -> None:
    hls = write_project(small_network(), tmp_path) / "hls"
    shutil.copy(hls / "selfcheck/casts.cpp", hls / "casts.cpp")
    assert validate(hls) == []


@pytest.mark.parametrize("source", [FixedType(True, 10, 6), FixedType(False, 12, 3), FixedType(True, 12, -2)], ids=repr)
def test_the_golden_words_tell_modes_apart(source: FixedType) -> None:
    """Two pairs of modes that differ on any code differ on a golden one."""
    everything = np.arange(source.min_int, source.max_int + 1)
    for signed, width, shift in product((True, False), (1, 3, 6), (-1, 0, 1, 3, 7)):
        target = FixedType(signed, width, source.frac - shift)
        some = golden_codes(source, target)
        modes = [pair for pair in product(Rounding, Overflow) if signed or pair[1] is not Overflow.WRAP_SM]
        on_all = {pair: cast(everything, source, target, *pair).tobytes() for pair in modes}
        on_some = {pair: cast(some, source, target, *pair).tobytes() for pair in modes}
        assert len(set(on_some.values())) == len(set(on_all.values())), (source, target)


@pytest.mark.parametrize(("rounding", "overflow"), list(product(Rounding, Overflow)), ids=lambda mode: mode.name)
def test_which_modes_are_exported_unasked(rounding: Rounding, overflow: Overflow, tmp_path: Path) -> None:
    graph = chain(
        "net", image(S6, 2), (Requantize(replace(S6, width=4), rounding, overflow), []), (Requantize(S6, rounding, overflow), [])
    )
    inputs = frames(graph, 2)["x"]
    arguments = (design(graph), tmp_path / "hls", load_board("ultra96"), inputs, inputs)
    if rounding in ROUNDINGS and overflow in OVERFLOWS:
        write_hls(*arguments)
    else:
        unknown = [mode.value for mode, known in ((rounding, ROUNDINGS), (overflow, OVERFLOWS)) if mode not in known]
        with pytest.raises(ExportError, match=rf"layer 'step0' \(and 1 more\) casts with {' and '.join(unknown)}, which has not"):
            write_hls(*arguments)
        assert not (tmp_path / "hls").exists()
