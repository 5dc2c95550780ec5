"""Grammar of the HLS pragmas that the templates may use: names, options, where they stand, variables in scope."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qfx.export.hls.cpp_tree import Source, Violation, above, declarators, declared_name, field, parameters, text, walk

if TYPE_CHECKING:
    from tree_sitter import Node

Options = dict[str, str | None]

NUMBER = r"[1-9]\d*"
NAME = r"[A-Za-z_]\w*"
PRAGMAS: dict[str, tuple[dict[str, str], frozenset[str]]] = {
    # name: (option -> pattern of its value, "" for a flag; the options that must be there)
    "PIPELINE": ({"II": "1", "style": "flp"}, frozenset({"II", "style"})),
    "UNROLL": ({}, frozenset()),
    "INLINE": ({}, frozenset()),
    "DATAFLOW": ({}, frozenset()),
    "STREAM": ({"variable": NAME, "depth": NUMBER}, frozenset({"variable", "depth"})),
    "INTERFACE": ({"axis": "", "s_axilite": "", "port": NAME, "bundle": NAME}, frozenset({"port"})),
    "ARRAY_PARTITION": ({"variable": NAME, "complete": "", "dim": r"\d+"}, frozenset({"variable", "dim"})),
    "ARRAY_RESHAPE": ({"variable": NAME, "complete": "", "dim": r"\d+"}, frozenset({"variable", "dim"})),
    "DEPENDENCE": ({"variable": NAME, "type": "inter", "dependent": "false"}, frozenset({"variable", "type", "dependent"})),
    "BIND_STORAGE": ({"variable": NAME, "type": NAME, "impl": NAME}, frozenset({"variable", "type"})),
    "BIND_OP": ({"variable": NAME, "op": NAME, "impl": NAME, "latency": r"\d"}, frozenset({"variable", "op"})),
}
"""Every HLS pragma that a project may hold; another one is a slip of the pen until it is added here."""

IN_LOOPS = frozenset({"PIPELINE", "UNROLL"})


def pragmas(sources: list[Source]) -> Iterator[Violation]:
    """pragma: known name, known options with values that fit, at a place where it acts, on a variable in scope."""
    tables = {declared_name(item) for source in sources for node in _globals(source) for item in declarators(node)}
    for source in sources:
        for node in walk(source.root, "preproc_call"):
            if text(field(node, "directive")) != "#pragma":
                yield source.violation("pragma", node, f"{text(node)!r}: only #include and #pragma are allowed")
                continue
            for message in _faults(node, tables):
                yield source.violation("pragma", node, message)


def _globals(source: Source) -> Iterator[Node]:
    for node in walk(source.root, "declaration"):
        if above(node, "function_definition") is None:
            yield node


def _faults(node: Node, tables: set[str]) -> Iterator[str]:
    words = text(field(node, "argument")).split()
    if words == ["once"]:
        return
    if len(words) < 2 or words[0] != "HLS" or words[1] not in PRAGMAS:
        yield f"unknown pragma {' '.join(words)!r}"
        return
    name, options = words[1], dict(_option(word) for word in words[2:])
    yield from _option_faults(name, options)
    block = node.parent
    outer = block.parent if block is not None and block.type == "compound_statement" else None
    wanted = "for_statement" if name in IN_LOOPS else "function_definition"
    if name in {"STREAM", "ARRAY_PARTITION", "ARRAY_RESHAPE", "BIND_STORAGE", "BIND_OP"}:
        outer = above(node, wanted)
    if outer is None or outer.type != wanted:
        yield f"{name} stands outside a {'loop' if name in IN_LOOPS else 'function'}'s body"
        return
    variable = options.get("variable") or options.get("port")
    if variable is not None and variable not in {"return", *tables, *_in_scope(node)}:
        yield f"{name}: there is no {variable!r} in scope"


def _option(word: str) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    return name, value if equals else None


def _option_faults(name: str, options: Options) -> Iterator[str]:
    allowed, required = PRAGMAS[name]
    for option, value in options.items():
        if option not in allowed:
            yield f"{name} has no option {option!r}"
        elif not re.fullmatch(allowed[option], value or ""):
            yield f"{name}: {option}={value} does not fit {allowed[option] or 'a flag'}"
    for option in sorted(required - options.keys()):
        yield f"{name} lacks {option}"


def _in_scope(node: Node) -> set[str]:
    """Parameters and locals that are declared before the pragma in its function."""
    function = above(node, "function_definition")
    if function is None:
        return set()
    names = set(parameters(function))
    for declaration in walk(function, "declaration"):
        if declaration.start_byte < node.start_byte:
            names |= {declared_name(item) for item in declarators(declaration)}
    return names
