"""qfx.fixed.cast against ap_fixed itself: every code of small types, compiled with the real headers."""

from __future__ import annotations

import itertools
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pytest

import qfx.hls_templates
from qfx.fixed import FixedType, IntArray, Overflow, Rounding, cast
from qfx.sim.headers import find_ap_types

SOURCES = (FixedType(True, 8, 5), FixedType(False, 7, 5))
TARGETS = tuple(FixedType(s, w, w - i) for s in (True, False) for w in (1, 2, 4, 7) for i in (-2, 0, 2, 5, 9))
OVERFLOWS = tuple(mode for mode in Overflow if mode is not Overflow.WRAP_SM)
GRID = tuple(itertools.product(SOURCES, TARGETS, Rounding, OVERFLOWS))
SAMPLED = 200


@dataclass(frozen=True)
class Case:
    """One source, target and pair of modes, as the template wants it."""

    source_type: FixedType
    target_type: FixedType
    rounding: Rounding
    overflow: Overflow

    @property
    def source(self) -> str:
        return self.source_type.ap_name

    @property
    def target(self) -> str:
        return f"{self.target_type.ap_name[:-1]}, {self.rounding.value}, {self.overflow.value}>"

    @property
    def source_width(self) -> int:
        return self.source_type.width

    @property
    def target_width(self) -> int:
        return self.target_type.width


def ap_fixed_casts(cases: list[Case], folder: Path) -> dict[int, IntArray]:
    """Per case index: result codes for source bits 0, 1, 2, ..."""
    template = Path(qfx.hls_templates.__path__[0], "selfcheck", "casts.cpp.j2").read_text()
    source = folder / "casts.cpp"
    source.write_text(jinja2.Template(template, undefined=jinja2.StrictUndefined).render(cases=cases))
    # -DNDEBUG: the open headers abort on some casts whose result is right (a signed source, all bits below the grid).
    command = ["g++", "-std=c++14", "-O0", "-DNDEBUG", "-isystem", str(find_ap_types().path), "-o", "casts", source.name]
    subprocess.run(command, cwd=folder, check=True)
    lines = subprocess.run([folder / "casts"], check=True, capture_output=True, text=True).stdout.splitlines()
    results: dict[int, list[int]] = {}
    for line in lines:
        index, _, bits = line.split()
        results.setdefault(int(index), []).append(int(bits, 16))
    return {index: signed_codes(np.array(bits), cases[index].target_type) for index, bits in results.items()}


def signed_codes(bits: IntArray, type: FixedType) -> IntArray:
    """Raw bits, from 0 on, as codes."""
    return np.where(type.signed & (bits >= 1 << (type.width - 1)), bits - (1 << type.width), bits)


def compare(cases: list[Case], folder: Path) -> None:
    found = ap_fixed_casts(cases, folder)
    assert len(found) == len(cases)
    for index, case in enumerate(cases):
        codes = signed_codes(np.arange(1 << case.source_width), case.source_type)
        expected = cast(codes, case.source_type, case.target_type, case.rounding, case.overflow)
        assert np.array_equal(found[index], expected), case


def test_a_sample_of_the_grid_agrees_with_ap_fixed(tmp_path: Path) -> None:
    compare([Case(*row) for row in random.Random(1).sample(GRID, SAMPLED)], tmp_path)


@pytest.mark.full
def test_the_whole_grid_agrees_with_ap_fixed(tmp_path: Path) -> None:
    for number, start in enumerate(range(0, len(GRID), SAMPLED)):
        folder = tmp_path / str(number)
        folder.mkdir()
        compare([Case(*row) for row in GRID[start : start + SAMPLED]], folder)
