"""How often the pipelined loops of the compiled C++ ran, counted by the compiler's own instrumentation (gcov)."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from qfx.export.hls.stage import Stage
from qfx.files import File

COVERAGE = (
    *("--coverage", "-fprofile-update=atomic"),
    *(
        "-fno-early-inlining",
        "-fdisable-tree-early_optimizations",
    ),  # so that each line is counted
    *("-fprofile-filter-files=kernels/", "-fprofile-exclude-files=/lanes.hpp;multiply(_khot|_dsp|_lut)?.hpp"),
)
"""Compiler flags that count, with any number of threads, in the kernels and not in what they call for every code."""
PIPELINE = "#pragma HLS PIPELINE"
INSTANCE = re.compile(r"(\w+)<((?:layer|value|port)::\w+)")
SUMS = re.compile(r"^(?:matrix_vector|conv2d|linear)(?:_khot|_dsp|_lut|_packed)?$")

Counts = Counter[tuple[str, str]]
"""By kernel and first template argument; conv2d, linear and the matrix_vector that they call are one."""


def counted(program: File) -> Counts:
    """Iterations of all pipelined loops in the runs of `program` since the last call."""
    folder = Path(program).parent
    (data,) = folder.glob("*.gcda")
    output = subprocess.run(["gcov", "--json-format", "--stdout", data.name], cwd=folder, capture_output=True, check=True)
    data.unlink()
    found = Counts()
    for file in json.loads(output.stdout)["files"]:
        if "/kernels/" in file["file"]:
            found += _of_file(file)
    return found


def _of_file(file: dict[str, Any]) -> Counts:
    names = {function["name"]: function["demangled_name"] for function in file["functions"]}
    first = set(_first_lines(Path(file["file"]).read_text().splitlines()))
    found = Counts()
    for line in file["lines"]:
        if line["line_number"] in first:
            instance = INSTANCE.search(names[line["function_name"]])
            assert instance, names[line["function_name"]]
            found[key(instance[1], instance[2])] += line["count"]
    return found


def _first_lines(text: list[str]) -> list[int]:
    """Numbers of the first statements of the pipelined loops."""
    result: list[int] = []
    for index, line in enumerate(text):
        if line.startswith(PIPELINE):
            following = enumerate(text[index + 1 :], index + 2)
            result.append(next(number for number, code in following if code.strip() and not code.strip().startswith(("#", "//"))))
    return result


def key(kernel: str, argument: str) -> tuple[str, str]:
    return "sums" if SUMS.match(kernel) else kernel, argument


def stage_key(stage: Stage) -> tuple[str, str]:
    """Where the iterations of a stage are counted."""
    return key(stage.kernel.function, f"{stage.space}::{stage.traits[0]}")
