"""Coding rules of a kernel. Each function is one rule or a family of them; its docstring says what it wants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qfx.export.hls.cpp_tree import (
    Source,
    Violation,
    above,
    body,
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

NONBLOCKING = frozenset({"empty", "full", "read_nb", "write_nb", "size", "capacity"})
CONVERSIONS = frozenset(
    {
        "to_int",
        "to_uint",
        "to_long",
        "to_int64",
        "to_uint64",
        "to_double",
        "to_float",
        "to_string",
        "V",
        "bit",
        "get_bit",
        "set_bit",
    }
)
CASTS = frozenset({"static_cast", "reinterpret_cast", "const_cast", "dynamic_cast", "memcpy"})
MAX_SHIFT_WIDTH = 6
"""Bits of a run-time shift count: at most 63 places."""
NATIVE = ("primitive_type", "sized_type_specifier")
CONSTANT = re.compile(r"(?:\w+::)*[A-Z][A-Z0-9_]*")
UNSIGNED_LITERAL = re.compile(r"0x[0-9a-f]+(?:u|ULL)")


def syntax(source: Source) -> Iterator[Violation]:
    """syntax: the file parses."""
    for node in walk(source.root):
        if node.type == "ERROR" or node.is_missing:
            yield source.violation("syntax", node, f"cannot be parsed: {text(node)[:60]!r}")


def preprocessor(source: Source) -> Iterator[Violation]:
    """synthesis-branch: no conditional compilation and no macros, so that what is simulated is what is synthesised."""
    kinds = ("preproc_if", "preproc_ifdef", "preproc_def", "preproc_function_def", "preproc_else", "preproc_elif")
    for node in walk(source.root, *kinds):
        yield source.violation("synthesis-branch", node, f"{text(node)[:60]!r}: only #include and #pragma are allowed")
    for node in walk(source.root, "identifier"):
        if text(node) == "__SYNTHESIS__":
            yield source.violation("synthesis-branch", node, "__SYNTHESIS__ is used")


def types(source: Source) -> Iterator[Violation]:
    """float, auto: neither floating point nor deduced types."""
    for node in walk(source.root, "primitive_type"):
        if text(node) in {"float", "double"}:
            yield source.violation("float", node, f"{text(node)} is no type of a data path")
    for node in walk(source.root, "number_literal"):
        if not text(node).lower().startswith("0x") and re.search(r"[.eE]|[fF]$", text(node)):
            yield source.violation("float", node, f"the literal {text(node)} is a floating-point number")
    for node in walk(source.root, "placeholder_type_specifier", "auto"):
        if node.type == "placeholder_type_specifier" or above(node, "placeholder_type_specifier") is None:
            yield source.violation("auto", node, "a result has no named type")


def native_integers(source: Source) -> Iterator[Violation]:
    """native-int: native integers only as `unsigned` counters, fed by counters and constants."""
    for function in functions(source):
        names = {name for name, kind in parameters(function).items() if kind == "unsigned"}
        for name, kind in parameters(function).items():
            if kind.split()[-1] in {"int", "char", "short", "long", "bool"}:
                yield source.violation("native-int", function, f"parameter {name!r} is {kind}; only unsigned counters are native")
        locals_ = list(walk(body(function), "declaration"))
        for declaration in locals_:
            kind = field(declaration, "type")
            if kind is not None and kind.type in NATIVE:
                names |= {declared_name(item) for item in declarators(declaration)}
                if text(kind) != "unsigned":
                    yield source.violation("native-int", declaration, f"a local is {text(kind)}; only unsigned counters are native")
        yield from _fed_by_data(source, function, names)


def _fed_by_data(source: Source, function: Node, counters: set[str]) -> Iterator[Violation]:
    for node in walk(body(function), "init_declarator", "assignment_expression"):
        target = field(node, "declarator") if node.type == "init_declarator" else field(node, "left")
        value = field(node, "value" if node.type == "init_declarator" else "right")
        if target is None or value is None or target.type != "identifier" or text(target) not in counters:
            continue
        foreign = [text(name) for name in walk(value, "identifier") if _is_data(name, counters)]
        foreign += [text(call) for call in walk(value, "call_expression")]
        if foreign:
            yield source.violation("native-int", node, f"counter {text(target)!r} takes a value from the data path: {foreign[0]}")


def _is_data(name: Node, counters: set[str]) -> bool:
    parent = name.parent
    if parent is not None and parent.type == "qualified_identifier":
        return not CONSTANT.fullmatch(text(name))
    return text(name) not in counters


def state(source: Source) -> Iterator[Violation]:
    """mutable-state: no static, mutable or global variable that can change."""
    for node in walk(source.root, "declaration", "field_declaration"):
        words = {text(child) for child in node.children if child.type in {"storage_class_specifier", "type_qualifier"}}
        at_file_scope = above(node, "function_definition") is None and node.type == "declaration"
        is_function = any(item.type == "function_declarator" for item in declarators(node))
        if is_function or ("const" in words and "mutable" not in words):
            continue
        if "mutable" in words or "static" in words or at_file_scope:
            yield source.violation("mutable-state", node, f"{text(node)[:60]!r} keeps a value between calls")


def members(source: Source) -> Iterator[Violation]:
    """non-blocking, conversion: streams are read and written blocking; bits move by .range() only."""
    for node in walk(source.root, "field_expression"):
        name = text(field(node, "field"))
        if name in NONBLOCKING:
            yield source.violation("non-blocking", node, f".{name} makes a result depend on timing; use read() and write()")
        if name in CONVERSIONS:
            yield source.violation("conversion", node, f".{name} leaves the arbitrary-width types; move bits by .range()")
    for node in walk(source.root, "cast_expression", "template_function", "call_expression"):
        called = text(field(node, "name" if node.type == "template_function" else "function")).removeprefix("std::")
        if node.type == "cast_expression" or called in CASTS:
            yield source.violation("conversion", node, f"{text(node)[:60]!r} is a cast; name the type of a variable instead")


def range_both_ways(source: Source) -> Iterator[Violation]:
    """conversion: an assignment to .range() takes bits from .range() or a constant."""
    for node in walk(source.root, "assignment_expression"):
        left, right = field(node, "left"), field(node, "right")
        if left is None or right is None or not _is_range(left):
            continue
        if not _is_range(right) and right.type != "number_literal":
            yield source.violation("conversion", node, f"{text(node)[:60]!r}: bits move by .range() on both sides")


def _is_range(node: Node) -> bool:
    function = field(node, "function") if node.type == "call_expression" else None
    return function is not None and function.type == "field_expression" and text(field(function, "field")) == "range"


def memory(source: Source) -> Iterator[Violation]:
    """memory: no pointers, no allocation, no exceptions, no goto."""
    kinds = ("pointer_declarator", "abstract_pointer_declarator", "pointer_expression", "new_expression", "delete_expression")
    for node in walk(source.root, *kinds, "goto_statement", "throw_statement", "try_statement", "union_specifier"):
        yield source.violation("memory", node, f"{node.type.replace('_', ' ')} has no hardware here: {text(node)[:60]!r}")


def division(source: Source) -> Iterator[Violation]:
    """division: none; indices are counted."""
    for node in walk(source.root, "binary_expression", "assignment_expression"):
        if text(field(node, "operator")) in {"/", "%", "/=", "%="}:
            yield source.violation("division", node, f"{text(node)[:60]!r} needs a divider; count instead")


def products(source: Source) -> Iterator[Violation]:
    """unnamed-result: a product initialises a variable, whose type has its full width, or is made in one."""
    for node in walk(source.root, "binary_expression", "assignment_expression"):
        parent, left = node.parent, field(node, "left")
        alone = text(field(node, "operator")) == "*" and (parent is None or parent.type != "init_declarator")
        inside = text(field(node, "operator")) == "*=" and (left is None or left.type != "identifier")
        if alone or inside:
            yield source.violation("unnamed-result", node, f"the product {text(node)[:60]!r} has no variable of its own")


def shifts(source: Source) -> Iterator[Violation]:
    """shift: a count is a constant, an unsigned counter or an ap_uint; `shift` of a layer is a short ap_uint."""
    for node in walk(source.root, "binary_expression", "assignment_expression"):
        operator = text(field(node, "operator"))
        if operator not in {"<<", ">>", "<<=", ">>="}:
            continue
        count = field(node, "right")
        if count is not None and not _good_count(count):
            yield source.violation("shift", node, f"the count {text(count)!r} is not an unsigned constant or ap_uint")
    for node in walk(source.root, "type_definition"):
        if declared_name(field(node, "declarator")) != "shift":
            continue
        width = re.fullmatch(r"ap_uint<(\d+)>", text(field(node, "type")))
        if width is None or int(width[1]) > MAX_SHIFT_WIDTH:
            yield source.violation("shift", node, f"{text(node)!r}: a shift count is an ap_uint of at most {MAX_SHIFT_WIDTH} bits")
    for node in walk(source.root, "field_declaration"):
        name = declared_name(next(iter(declarators(node)), None))
        if "SHIFT" in name and not text(field(node, "type")).startswith("unsigned"):
            yield source.violation("shift", node, f"{name} is not unsigned")


def _good_count(count: Node) -> bool:
    if count.type == "number_literal" or CONSTANT.fullmatch(text(count)):
        return True
    function = above(count, "function_definition")
    if count.type != "identifier" or function is None:
        return False
    kinds = dict(parameters(function))
    for declaration in walk(body(function), "declaration"):
        for item in declarators(declaration):
            kinds[declared_name(item)] = text(field(declaration, "type")).removeprefix("typename ")
    return bool(re.fullmatch(r"unsigned|L::shift|ap_uint ?<.*>", kinds.get(text(count), "")))


def fixed_point(sources: list[Source]) -> Iterator[Violation]:
    """fixed-point: ap_fixed only in typedefs, and those only inside requantize_code and the formats of values."""
    names: set[str] = set()
    for source in sources:
        for node in walk(source.root, "template_type"):
            if text(field(node, "name")) in {"ap_fixed", "ap_ufixed"}:
                definition = above(node, "type_definition")
                if definition is None:
                    yield source.violation("fixed-point", node, f"{text(node)} stands outside a typedef")
                else:
                    names.add(declared_name(field(definition, "declarator")))
    for source in sources:
        for node in walk(source.root, "type_identifier"):
            function = above(node, "function_definition")
            if text(node) in names and function is not None and function_name(function) != "requantize_code":
                yield source.violation("fixed-point", node, f"the ap_fixed type {text(node)!r} is used outside requantize_code")


def tables(source: Source) -> Iterator[Violation]:
    """weight-table: an array at file scope is `static const`, of unsigned words, all written out as literals."""
    for node in walk(source.root, "declaration"):
        if above(node, "function_definition") is not None or not any(walk(node, "array_declarator")):
            continue
        words = [text(child) for child in node.children]
        if words[:2] != ["static", "const"] or not text(field(node, "type")).startswith("unsigned"):
            yield source.violation("weight-table", node, f"{text(node)[:60]!r} is not a static const table of unsigned words")
        values = [
            leaf for leaf in walk(node, "initializer_list") if not any(child.type == "initializer_list" for child in leaf.children)
        ]
        bad = [item for leaf in values for item in leaf.named_children if not UNSIGNED_LITERAL.fullmatch(text(item))]
        if bad:
            yield source.violation("weight-table", bad[0], f"the entry {text(bad[0])[:40]!r} is no unsigned hexadecimal literal")


def initialised(source: Source) -> Iterator[Violation]:
    """uninitialised: a local has an initialiser; an array is filled over its whole extent before anything else uses it."""
    for function in functions(source):
        for declaration in walk(body(function), "declaration"):
            for item in declarators(declaration):
                if item.type == "identifier":
                    yield source.violation("uninitialised", item, f"local {text(item)!r} has no initial value")
                if item.type == "array_declarator" and not _is_filled(declaration, item):
                    yield source.violation("uninitialised", item, f"array {declared_name(item)!r} is not filled before it is used")


def _is_filled(declaration: Node, array: Node) -> bool:
    name, extents = declared_name(array), _extents(array)
    block = declaration.parent
    following = [] if block is None else [node for node in statements(block) if node.start_byte > declaration.start_byte]
    for node in following:
        if node.type == "preproc_call" or name not in {text(word) for word in walk(node, "identifier")}:
            continue
        return _fills(node, name, extents)
    return False


def _extents(array: Node) -> list[str]:
    sizes: list[str] = []
    node: Node | None = array
    while node is not None and node.type == "array_declarator":
        sizes.insert(0, text(field(node, "size")))
        node = field(node, "declarator")
    return sizes


def _fills(loop: Node, name: str, extents: list[str]) -> bool:
    """Whether `loop` is a nest over `extents` whose innermost body writes `name[i][j]` and nothing there reads `name`."""
    indices: list[str] = []
    node: Node | None = loop
    last: Node | None = loop
    for extent in extents:
        if node is None or node.type != "for_statement":
            return False
        start = next((item for item in walk(node, "init_declarator")), None)
        index = text(field(start, "declarator")) if start is not None else ""
        if start is None or text(field(start, "value")) != "0" or text(field(node, "condition")) != f"{index} < {extent}":
            return False
        if f"++{index}" not in text(field(node, "update")):
            return False
        indices.append(index)
        inside = field(node, "body")
        node = None if inside is None else next((s for s in statements(inside) if s.type != "preproc_call"), None)
        last = inside
    target = name + "".join(f"[{index}]" for index in indices)
    writes = [n for n in walk(last, "assignment_expression") if text(field(n, "left")) == target] if last is not None else []
    uses = sum(text(word) == name for word in walk(loop, "identifier"))
    return len(writes) == 1 and uses == 1


FILE_RULES = (
    syntax,
    preprocessor,
    types,
    native_integers,
    state,
    members,
    range_both_ways,
    memory,
    division,
    products,
    shifts,
    tables,
    initialised,
)
"""Rules that look at one file."""

PROJECT_RULES = (fixed_point,)
"""Rules that look at all files."""
