"""Rules of the DATAFLOW region, and the multiplications that each of its stages reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfx.export.hls.cpp_tree import (
    Source,
    Violation,
    above,
    arguments,
    body,
    called,
    declarators,
    declared_name,
    field,
    function_name,
    functions,
    parameters,
    statements,
    text,
    walk,
)

if TYPE_CHECKING:
    from tree_sitter import Node

READS, WRITES = "reads", "writes"


@dataclass(frozen=True)
class Multiplication:
    """A `*` between values.

    Attributes:
        file, line: where, relative to the project's `hls/`.
        function: the function that holds it.
        text: the expression.
    """

    file: str
    line: int
    function: str
    text: str


class TopFunction:
    """All function definitions of a project by name, and its DATAFLOW region."""

    def __init__(self, sources: list[Source]) -> None:
        self.sources = sources
        self.functions = {function_name(f): (source, f) for source in sources for f in functions(source)}

    def regions(self) -> Iterator[tuple[Source, Node]]:
        """Functions with a DATAFLOW pragma of their own."""
        for source, function in self.functions.values():
            calls = [node for node in statements(body(function)) if node.type == "preproc_call"]
            if any(text(field(node, "argument")).split() == ["HLS", "DATAFLOW"] for node in calls):
                yield source, function

    def directions(self, name: str, seen: frozenset[str] = frozenset()) -> dict[str, set[str]]:
        """Per stream parameter of function `name`: whether it, or what it calls, reads or writes the stream."""
        if name not in self.functions or name in seen:
            return {}
        _, function = self.functions[name]
        found: dict[str, set[str]] = {
            parameter: set() for parameter, kind in parameters(function).items() if kind.startswith("hls::stream")
        }
        for call in walk(body(function), "call_expression"):
            target = field(call, "function")
            if target is not None and target.type == "field_expression":
                stream, method = text(field(target, "argument")), text(field(target, "field"))
                if stream in found and method in {"read", "write"}:
                    found[stream].add(READS if method == "read" else WRITES)
                continue
            inner = self.directions(called(call), seen | {name})
            for argument, ways in self.bound(called(call), arguments(call), inner):
                if argument in found:
                    found[argument] |= ways
        return found

    def bound(self, name: str, passed: list[Node], directions: dict[str, set[str]]) -> Iterator[tuple[str, set[str]]]:
        """Argument text and directions of each stream that a call passes."""
        if name in self.functions:
            for parameter, argument in zip(parameters(self.functions[name][1]), passed, strict=False):
                if parameter in directions:
                    yield text(argument), directions[parameter]

    def reached(self, name: str) -> set[str]:
        """Names of the functions that `name` calls, directly or not, and itself."""
        todo, seen = [name], set[str]()
        while todo:
            current = todo.pop()
            if current in seen or current not in self.functions:
                continue
            seen.add(current)
            todo += [called(call) for call in walk(self.functions[current][1], "call_expression")]
        return seen


def dataflow(sources: list[Source]) -> Iterator[Violation]:
    """dataflow-body, stream-*: only calls and stream declarations; each stream named after itself, with a depth, written
    by one stage and then read by one other."""
    program = TopFunction(sources)
    regions = list(program.regions())
    if len(regions) != 1:
        where = sources[0]
        yield where.violation("dataflow-body", where.root, f"the project has {len(regions)} DATAFLOW regions, wanted one")
    for source, function in regions:
        yield from _region(program, source, function)


def _region(program: TopFunction, source: Source, function: Node) -> Iterator[Violation]:
    streams: dict[str, Node] = {}
    uses: dict[str, list[str]] = {name: [] for name, kind in parameters(function).items() if kind.startswith("hls::stream")}
    ports = frozenset(uses)
    depths: set[str] = set()
    for node in statements(body(function)):
        if node.type == "preproc_call":
            found = re.search(r"HLS STREAM variable=(\w+)", text(field(node, "argument")))
            depths |= {found[1]} if found else set()
        elif node.type == "declaration" and text(field(node, "type")).startswith("hls::stream"):
            for item in declarators(node):
                streams[declared_name(item)] = item
                uses[declared_name(item)] = []
        elif node.type == "expression_statement" and node.named_children[0].type == "call_expression":
            yield from _stage(program, source, node.named_children[0], uses)
        else:
            yield source.violation("dataflow-body", node, f"{text(node)[:60]!r} is neither a call nor a stream declaration")
    for name, item in streams.items():
        yield from _declaration(source, name, item, name in depths)
        if uses[name] != [WRITES, READS]:
            order = " then ".join(uses[name]) or "nothing"
            yield source.violation(
                "stream-use", item, f"stream {name!r}: {order}; wanted one stage that writes, then one that reads"
            )
    for name in ports:
        if len(uses[name]) != 1:
            yield source.violation("stream-use", function, f"port {name!r} is used by {len(uses[name])} stages, wanted one")


def _declaration(source: Source, name: str, item: Node, has_depth: bool) -> Iterator[Violation]:
    if text(field(item, "value")) != f'("{name}")':
        yield source.violation("stream-name", item, f"stream {name!r} is not constructed with its own name; the logs go by it")
    if not has_depth:
        yield source.violation("stream-depth", item, f"stream {name!r} has no STREAM pragma with a depth")


def _stage(program: TopFunction, source: Source, call: Node, uses: dict[str, list[str]]) -> Iterator[Violation]:
    name = called(call)
    if name not in program.functions:
        yield source.violation("dataflow-body", call, f"{name!r} is no function of the project")
        return
    known = dict(program.bound(name, arguments(call), program.directions(name)))
    for argument in arguments(call):
        if argument.type != "identifier":
            yield source.violation(
                "dataflow-body", call, f"the argument {text(argument)!r} is an expression; pass streams and scalars"
            )
    for stream, ways in known.items():
        if stream not in uses:
            yield source.violation("stream-use", call, f"stream {stream!r} is used before it is declared")
        elif len(ways) != 1:
            yield source.violation("stream-use", call, f"{name!r} {' and '.join(sorted(ways)) or 'does not use'} {stream!r}")
        else:
            uses[stream] += ways


def stage_multiplications(sources: list[Source]) -> dict[str, list[Multiplication]]:
    """Per stage of the DATAFLOW region, by the name of its layer, value or port: every `*` in the code that it reaches."""
    program = TopFunction(sources)
    result: dict[str, list[Multiplication]] = {}
    for _, region in program.regions():
        for statement in statements(body(region)):
            for call in walk(statement, "call_expression") if statement.type == "expression_statement" else ():
                settings = re.search(r"<(?:layer|value|port)::(\w+)", text(field(call, "function")))
                name = settings[1] if settings else called(call)
                found = [m for f in sorted(program.reached(called(call))) for m in _products(*program.functions[f])]
                found += [m for m in _struct_products(sources, name) if m not in found]
                known = result.setdefault(name, [])
                known += [m for m in found if m not in known]
    return result


def _products(source: Source, node: Node) -> Iterator[Multiplication]:
    for expression in walk(node, "binary_expression", "assignment_expression"):
        if text(field(expression, "operator")) in {"*", "*="}:
            function = above(expression, "function_definition")
            name = function_name(function) if function is not None else ""
            yield Multiplication(source.file, expression.start_point[0] + 1, name, text(expression))


def _struct_products(sources: list[Source], name: str) -> Iterator[Multiplication]:
    for source in sources:
        for struct in walk(source.root, "struct_specifier"):
            if text(field(struct, "name")) == name:
                yield from _products(source, struct)
