"""Holds the coding rules of the exported C++ over its parsed sources, so that what is simulated is what is synthesised.

Needs tree-sitter and tree-sitter-cpp (`pip install 'qfx[validate]'`).
"""

from __future__ import annotations

from pathlib import Path

from qfx.export.hls.cpp_tree import Violation, parse_project
from qfx.export.hls.rules_code import FILE_RULES, PROJECT_RULES
from qfx.export.hls.rules_dataflow import Multiplication, dataflow, stage_multiplications
from qfx.export.hls.rules_pragma import pragmas

__all__ = ["Multiplication", "Violation", "multiplications", "validate"]


def validate(hls: Path | str) -> list[Violation]:
    """Every violation in the `hls/` folder of a project, by file and line; the testbench is left out.

    Raises:
        ToolMissingError: tree-sitter is not installed.
        ProjectError: there is no C++ in the folder.
    """
    sources = parse_project(hls)
    found = [violation for source in sources for rule in FILE_RULES for violation in rule(source)]
    found += [violation for rule in (*PROJECT_RULES, pragmas, dataflow) for violation in rule(sources)]
    return sorted(set(found), key=lambda violation: (violation.file, violation.line, violation.rule, violation.message))


def multiplications(hls: Path | str) -> dict[str, list[Multiplication]]:
    """Per stage, by the name of its layer: the multiplications in the C++ that it runs; index arithmetic included.

    Raises:
        ToolMissingError: tree-sitter is not installed.
        ProjectError: there is no C++ in the folder.
    """
    return stage_multiplications(parse_project(hls))
