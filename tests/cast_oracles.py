"""Programs and packages that cast by themselves: AMD's ap_types headers, SystemC, apytypes."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pytest

import qfx.hls_templates
from qfx.export.hls.kernels.requantize import source_width
from qfx.fixed import FixedType, IntArray, Overflow, Rounding, cast
from qfx.ops import Requantize
from qfx.sim.headers import find_ap_types

TEMPLATES = Path(qfx.hls_templates.__path__[0], "selfcheck")
SYSTEMC_ROUNDINGS = ("RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV", "TRN", "TRN_ZERO")
SYSTEMC_OVERFLOWS = ("SAT", "SAT_ZERO", "SAT_SYM", "WRAP", "WRAP_SM")
"""In the order of SystemC's enumerations."""


@dataclass(frozen=True)
class Case:
    """One source, target and pair of modes, as the template wants it.

    Attributes:
        real: the source comes as a double.
        widened: the source is widened as an exported cast widens it.
    """

    source: FixedType
    target: FixedType
    rounding: Rounding
    overflow: Overflow
    real: bool = False
    widened: bool = False

    @property
    def codes(self) -> IntArray:
        """Codes to be cast: every one of a small source, else corners and random ones."""
        if self.source.width <= 10:
            return np.arange(self.source.min_int, self.source.max_int + 1)
        corners = [self.source.min_int, self.source.max_int, 0, 1, self.source.min_int + 1, self.source.max_int - 1]
        random = np.random.default_rng(self.source.width).integers(self.source.min_int, self.source.max_int, 60, endpoint=True)
        return np.concatenate([np.array(corners, np.int64), random, random >> self.source.width // 2])

    @property
    def expected(self) -> IntArray:
        """What `qfx.fixed.cast` makes of the codes."""
        return cast(self.codes, self.source, self.target, self.rounding, self.overflow)

    @property
    def count(self) -> int:
        return len(self.codes)

    @property
    def step(self) -> str:
        return repr(self.source.step)

    @property
    def _width(self) -> int:
        return (
            source_width(self.source, Requantize(self.target, self.rounding, self.overflow)) if self.widened else self.source.width
        )

    @property
    def code_name(self) -> str:
        return f"ap_{'' if self.source.signed else 'u'}int<{self._width}>"

    @property
    def source_name(self) -> str:
        return f"ap_{'' if self.source.signed else 'u'}fixed<{self._width}, {self._width - self.source.frac}>"

    @property
    def target_name(self) -> str:
        return f"{self.target.ap_name[:-1]}, {self.rounding.value}, {self.overflow.value}>"


def compile_casts(cases: Sequence[Case], folder: Path, flags: Sequence[str] = ("-DNDEBUG",)) -> Path:
    """A program that does these casts with the headers.

    Args:
        flags: without -DNDEBUG the open headers abort on some casts whose result is right (D4 in docs/ir.md).
    """
    template = (TEMPLATES / "casts.cpp.j2").read_text()
    (folder / "casts.cpp").write_text(jinja2.Template(template, undefined=jinja2.StrictUndefined).render(cases=cases))
    command = ["g++", "-std=c++14", "-O0", "-w", *flags, "-isystem", str(find_ap_types().path), "-o", "casts", "casts.cpp"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "casts"


def run_casts(program: Path, cases: Sequence[Case]) -> subprocess.CompletedProcess[bytes]:
    """The program, given the codes of its cases."""
    codes = np.concatenate([case.codes for case in cases]).astype("<i8").tobytes()
    return subprocess.run([program], input=codes, capture_output=True, check=False)


def ap_fixed_codes(cases: Sequence[Case], folder: Path) -> list[IntArray]:
    """Per case: what the headers make of its codes."""
    result = run_casts(compile_casts(cases, folder), cases)
    assert result.returncode == 0, result.stderr
    bits = split(np.frombuffer(result.stdout, "<i8"), cases)
    return [signed_codes(part, case.target) for part, case in zip(bits, cases, strict=True)]


def signed_codes(bits: IntArray, type: FixedType) -> IntArray:
    """Raw bits, from 0 on, as codes."""
    return np.where(type.signed & (bits >> (type.width - 1) & 1 == 1), bits - (1 << type.width - 1) - (1 << type.width - 1), bits)


def split(results: IntArray, cases: Sequence[Case]) -> list[IntArray]:
    """The results of each case."""
    ends = np.cumsum([case.count for case in cases])
    assert len(results) == ends[-1]
    return np.split(results, ends[:-1])


def compile_systemc(folder: Path) -> Path:
    """The SystemC program; the test is skipped where SystemC is missing."""
    source = TEMPLATES / "systemc.cpp"
    command = ["g++", "-std=c++17", "-O1", "-o", str(folder / "systemc"), str(source), "-lsystemc"]
    if shutil.which("g++") is None or not Path("/usr/include/systemc").exists():
        pytest.skip("SystemC is not installed; on Debian and Ubuntu: apt-get install libsystemc-dev")
    subprocess.run(command, check=True)
    return folder / "systemc"


def systemc_codes(program: Path, cases: Sequence[Case]) -> list[IntArray]:
    """Per case: what SystemC makes of its codes."""
    blocks: list[bytes] = []
    for case in cases:
        modes = SYSTEMC_ROUNDINGS.index(case.rounding.name), SYSTEMC_OVERFLOWS.index(case.overflow.name)
        target = case.target
        line = f"{int(target.signed)} {target.width} {target.integer} {modes[0]} {modes[1]} {case.count} {case.step}\n"
        blocks += [line.encode(), struct.pack(f"<{case.count}q", *case.codes.tolist())]
    result = subprocess.run([program], input=b"".join(blocks), capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    # SystemC prints its banner to standard error or output, before the results.
    size = 8 * sum(case.count for case in cases)
    return split(np.frombuffer(result.stdout[-size:], "<i8"), cases)
