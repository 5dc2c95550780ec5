"""The typed graph: nodes in topological order over named values, and the builder that makes one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qfx import notebook
from qfx.errors import GraphError, QfxError
from qfx.fixed import FixedType, IntArray
from qfx.ir.host_step import HostStep
from qfx.ir.value import Value

if TYPE_CHECKING:
    from qfx.ops.base import Op


MOST_ELEMENTS = 1 << 31
"""Of one value and sample; their int64 codes take 16 GiB."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Node:
    """One operation. Its result is the value of the same name.

    Attributes:
        name: unique; the module path it came from, such as `layer1.bn`, with a suffix for inner steps.
        op: what it computes, with attributes.
        inputs: names of the operands.
        source: where it came from, for error messages: a module path or a source line.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    source: str = ""


@dataclass(repr=False)
class Graph:
    """A network on integers.

    Attributes:
        name: of the network; a C identifier.
        values: every value by name, constants included.
        nodes: in topological order.
        inputs: names of the input values.
        outputs: names of the output values.
        host: what the model does with the outputs, in floating point; `qfx.host` computes it.
    """

    name: str
    values: dict[str, Value] = field(default_factory=dict[str, Value])
    nodes: list[Node] = field(default_factory=list[Node])
    inputs: list[str] = field(default_factory=list[str])
    outputs: list[str] = field(default_factory=list[str])
    host: list[HostStep] = field(default_factory=list[HostStep])
    _places: dict[str, int] = field(default_factory=dict[str, int], init=False, repr=False, compare=False)
    _readers: tuple[list[Node], dict[str, list[Node]]] = field(default=([], {}), init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        ends = (", ".join(str(self.values.get(name, name)) for name in names) for names in (self.inputs, self.outputs))
        return f"Graph({self.name!r}, {len(self.nodes)} nodes: {' -> '.join(ends)})"

    def _repr_html_(self) -> str:
        """For notebooks: a row per value that is read or computed."""
        kinds = {node.name: node.op.kind for node in self.nodes}
        shown = [self.values[name] for name in self.activations()]
        rows = [(value.name, kinds.get(value.name, "input"), value.type.ap_name, list(value.shape)) for value in shown]
        return notebook.table(repr(self), ("value", "op", "format", "shape"), rows)

    def operands(self, node: Node) -> tuple[Value, ...]:
        """The operand values of `node`, in order."""
        return tuple(self.values[name] for name in node.inputs)

    def consumers(self, name: str) -> list[Node]:
        """Nodes that read value `name`, in topological order; one that reads it twice is listed twice."""
        if self._readers[0] != self.nodes:  # which compares places in memory as long as nothing has changed
            found: dict[str, list[Node]] = {}
            for node in self.nodes:
                for operand in node.inputs:
                    found.setdefault(operand, []).append(node)
            self._readers = [*self.nodes], found
        return [*self._readers[1].get(name, ())]

    def activations(self) -> list[str]:
        """Names of inputs and computed values, in topological order."""
        return [*self.inputs, *(node.name for node in self.nodes)]

    def node(self, name: str) -> Node:
        """The node that computes value `name`.

        Raises:
            GraphError: there is none.
        """
        if (found := self._at(name)) is None:  # unknown, or the list of nodes has changed
            self._places = {node.name: place for place, node in enumerate(self.nodes)}
            found = self._at(name)
        if found is None:
            raise GraphError(f"graph {self.name!r} has no node {name!r}")
        return found

    def _at(self, name: str) -> Node | None:
        """The node where `name` was when places were last looked up, if it is still there."""
        place = self._places.get(name, len(self.nodes))
        return self.nodes[place] if place < len(self.nodes) and self.nodes[place].name == name else None

    def verify(self, after: str = "construction") -> Graph:
        """Check order, names, operand kinds, and every inferred type and shape against the one stored.

        Args:
            after: the step that made the graph; named in the error.

        Returns:
            the graph itself.

        Raises:
            GraphError: the first violation, naming the step, the node, the type found and the type wanted.
        """
        self._verify_values(after)
        self._verify_constants(after)
        known = set(self.inputs) | {name for name, value in self.values.items() if value.constant is not None}
        for node in self.nodes:
            where = f"after {after}: node {node.name!r} ({node.op.kind})"
            for name in node.inputs:
                if name not in known:
                    raise GraphError(f"{where} reads {name!r}, which is not defined before it")
            if node.name in known:
                raise GraphError(f"{where} defines a value that exists already")
            if (found := self.values.get(node.name)) is None:
                raise GraphError(f"{where} computes a value that the graph does not list")
            try:
                node.op.check_operands(self.operands(node))
                wanted, shape = node.op.infer(self.operands(node))
            except QfxError as error:
                raise GraphError(f"{where}: {error}") from error
            if (found.type, found.shape) != (wanted, shape):
                raise GraphError(f"{where} has {found.type!r} {list(found.shape)}, wanted {wanted!r} {list(shape)}")
            known.add(node.name)
        for name in self.outputs:
            if name not in known:
                raise GraphError(f"after {after}: output {name!r} is not defined")
        if not self.outputs:
            raise GraphError(f"after {after}: graph {self.name!r} has no outputs")
        self._verify_host(after)
        return self

    def _verify_host(self, after: str) -> None:
        names = [*self.values, *(step.name for step in self.host)]
        for step in self.host:
            if step.source not in self.outputs:
                raise GraphError(f"after {after}: host step {step.name!r} reads {step.source!r}, which is no output")
            if names.count(step.name) > 1:
                raise GraphError(f"after {after}: host step {step.name!r} has the name of another value")
            try:
                step.check(self.values[step.source])
            except GraphError as error:
                raise GraphError(f"after {after}: {error}") from error

    def _verify_values(self, after: str) -> None:
        for name, value in self.values.items():
            where = f"after {after}: value {name[:80]!r}"
            if name != value.name or not name or _NO_TEXT.search(name):
                raise GraphError(
                    f"{where} needs a name of its own that is text: not empty, without NUL and halves of surrogate pairs"
                )
            if min(value.shape, default=1) < 1 or value.size > MOST_ELEMENTS:
                raise GraphError(
                    f"{where} has shape {list(value.shape)}; every extent is 1 or more, their product {MOST_ELEMENTS:,} or less"
                )
        for name in self.inputs:
            value = self.values.get(name)
            if value is None or value.constant is not None or self.inputs.count(name) > 1:
                found = "not defined" if value is None else "a constant" if value.constant is not None else "there twice"
                raise GraphError(f"after {after}: input {name!r} is {found}")

    def _verify_constants(self, after: str) -> None:
        for value in self.values.values():
            if value.constant is None:
                continue
            if value.constant.shape != value.shape:
                raise GraphError(f"after {after}: constant {value.name!r} has shape {value.constant.shape}, wanted {value.shape}")
            if not value.type.contains(value.constant):
                worst = max(abs(int(value.constant.min())), abs(int(value.constant.max())))
                raise GraphError(f"after {after}: constant {value.name!r} has a code of magnitude {worst} outside {value.type!r}")

    def text(self) -> str:
        """The graph on a page: one line per input, node and output."""
        lines = [f"graph {self.name}"]
        lines += [f"  input  {self.values[name]}" for name in self.inputs]
        for node in self.nodes:
            lines.append(f"  {self.values[node.name]} = {node.op.describe()} {', '.join(node.inputs)}")
        lines.append(f"  output {', '.join(self.outputs)}")
        return "\n".join([*lines, *(f"  host   {step.name} = {step.text()}" for step in self.host)])


class GraphBuilder:
    """Builds a graph node by node; every node's type is inferred, never given."""

    def __init__(self, name: str) -> None:
        self._graph = Graph(name)

    def input(self, name: str, type: FixedType, shape: tuple[int, ...]) -> Value:
        """Add a graph input of `shape` (without the batch axis)."""
        self._graph.inputs.append(name)
        return self._define(Value(name, type, shape))

    def constant(self, name: str, type: FixedType, codes: IntArray) -> Value:
        """Add a constant."""
        return self._define(Value(name, type, codes.shape, codes))

    def add(self, name: str, op: Op, *operands: Value, source: str = "") -> Value:
        """Add a node; returns the value it computes.

        Raises:
            GraphError: operands that do not fit, naming the node and its source.
        """
        try:
            op.check_operands(operands)
            type, shape = op.infer(operands)
        except QfxError as error:
            raise GraphError(f"node {name!r} ({op.kind}){f' from {source}' if source else ''}: {error}") from error
        value = self._define(Value(name, type, shape))
        self._graph.nodes.append(Node(name, op, tuple(operand.name for operand in operands), source))
        return value

    def build(self, *outputs: Value, host: Sequence[HostStep] = (), after: str = "construction") -> Graph:
        """Finish with these outputs, and their post-processing on the CPU; the graph is verified, `after` as there."""
        self._graph.outputs = [value.name for value in outputs]
        self._graph.host = [*host]
        return self._graph.verify(after)

    def _define(self, value: Value) -> Value:
        if value.name in self._graph.values:
            raise GraphError(f"value {value.name!r} is defined twice")
        self._graph.values[value.name] = value
        return value
