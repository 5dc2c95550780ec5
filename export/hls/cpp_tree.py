"""The C++ of a project as syntax trees (tree-sitter), and the questions that the validator asks of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qfx.errors import ProjectError, ToolMissingError

if TYPE_CHECKING:
    from tree_sitter import Node


@dataclass(frozen=True)
class Violation:
    """A rule that a line breaks.

    Attributes:
        rule: its name, such as `native-int`.
        file: relative to the project's `hls/`.
        line: from 1.
        message: what is wrong there.
    """

    rule: str
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message}"


@dataclass(frozen=True)
class Source:
    """A parsed file."""

    file: str
    root: Node

    def violation(self, rule: str, node: Node, message: str) -> Violation:
        return Violation(rule, self.file, node.start_point[0] + 1, message)


def parse_project(hls: Path | str) -> list[Source]:
    """Every source of the accelerator: all of `hls/` and `hls/kernels/` but the testbench.

    Raises:
        ToolMissingError: tree-sitter is not installed.
        ProjectError: there is no C++ in the folder.
    """
    try:
        import tree_sitter
        import tree_sitter_cpp
    except ImportError as error:
        raise ToolMissingError(f"checking C++ needs tree-sitter ({error}); pip install 'qfx[validate]'") from error
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_cpp.language()))
    hls = Path(hls)
    files = [*hls.glob("*.hpp"), *hls.glob("*.cpp"), *(hls / "kernels").glob("*.hpp")]
    files = [file for file in sorted(files) if file.name != "testbench.cpp"]
    if not files:
        raise ProjectError(f"{hls} holds no C++; name the hls/ folder of a project")
    return [Source(file.relative_to(hls).as_posix(), parser.parse(file.read_bytes()).root_node) for file in files]


def text(node: Node | None) -> str:
    """The source of a node, white space as single blanks."""
    return "" if node is None or node.text is None else " ".join(node.text.decode().split())


def walk(node: Node, *types: str) -> Iterator[Node]:
    """The node and all below it, in source order; only those of `types` if some are given. Static assertions are left out: they are
    judged before there is hardware."""
    if node.type == "static_assert_declaration":
        return
    if not types or node.type in types:
        yield node
    for child in node.children:
        yield from walk(child, *types)


def above(node: Node, *types: str) -> Node | None:
    """The nearest enclosing node of one of the types."""
    found = node.parent
    while found is not None and found.type not in types:
        found = found.parent
    return found


def field(node: Node, name: str) -> Node | None:
    return node.child_by_field_name(name)


def functions(source: Source) -> Iterator[Node]:
    """All function definitions, member functions included."""
    yield from walk(source.root, "function_definition")


def function_name(function: Node) -> str:
    declarator = field(function, "declarator")
    return text(field(declarator, "declarator")) if declarator is not None else ""


def body(function: Node) -> Node:
    found = field(function, "body")
    return found if found is not None else function


def parameters(function: Node) -> dict[str, str]:
    """Name -> type text, `&` left out; unnamed ones are left out."""
    declarator = field(function, "declarator")
    listed = field(declarator, "parameters") if declarator is not None else None
    result: dict[str, str] = {}
    for parameter in listed.named_children if listed is not None else []:
        name = declared_name(field(parameter, "declarator"))
        if name:
            result[name] = text(field(parameter, "type"))
    return result


def declared_name(declarator: Node | None) -> str:
    """The identifier inside a declarator: `x`, `&x`, `x[3]`, `x = 0`."""
    while declarator is not None and declarator.type not in {"identifier", "field_identifier", "type_identifier"}:
        inner = field(declarator, "declarator")
        declarator = inner if inner is not None else next(iter(declarator.named_children), None)
    return text(declarator)


def declarators(declaration: Node) -> list[Node]:
    """What a declaration declares: identifiers, init_declarators, array_declarators, ..."""
    return declaration.children_by_field_name("declarator")


def statements(block: Node) -> list[Node]:
    """Named children of a block without comments."""
    return [child for child in block.named_children if child.type != "comment"]


def called(call: Node) -> str:
    """The name of the function that a call names, template arguments and scopes left out."""
    function = field(call, "function")
    if function is not None and function.type == "template_function":
        function = field(function, "name")
    return text(function).split("::")[-1]


def arguments(call: Node) -> list[Node]:
    listed = field(call, "arguments")
    return [] if listed is None else listed.named_children
