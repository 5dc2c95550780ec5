"""Lowering: a torch model made of qfx.nn layers becomes a typed graph on integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import fx, nn

from qfx import arguments
from qfx.annotations import explained
from qfx.checks import argument, whole
from qfx.errors import InputError, LoweringError, QfxError, QuantizationError
from qfx.fixed import FixedType
from qfx.frontend.calls.heads import Head
from qfx.frontend.calls.slicing import Part
from qfx.frontend.calls.table import BY_NAME, call_of, lower_call
from qfx.frontend.given import check_network
from qfx.frontend.hooks import check_hooks
from qfx.frontend.in_place import read_again
from qfx.frontend.leaf import InputLeaf, Leaf, network_of
from qfx.frontend.scope import Scope
from qfx.frontend.sizes import ARITHMETIC, asks_for_size, size
from qfx.frontend.trace import Trace, trace
from qfx.ir import Graph, GraphBuilder, Value
from qfx.quant import Quantizer, quantizers

Shape = tuple[int, ...]
Shapes = Shape | Sequence[Shape] | Mapping[str, Shape]
"""Of the only input, of all in order, or of all by name."""


MAX_NAME = 100
"""Characters of a graph's name."""


@dataclass
class Lowered:
    """A graph together with the trace it came from.

    Attributes:
        graph: the typed graph.
        trace: the traced model; its submodules are the live ones.
        suffixes: per layer call: graph node name -> suffix within the layer.
        returned: per tensor that the model returns: its output, None for what post-processing makes of one.
    """

    graph: Graph
    trace: Trace
    suffixes: dict[fx.Node, dict[str, str]]
    returned: list[str | None]


@explained
def lower(model: nn.Module, input_shape: Shapes, name: str = "network") -> Graph:
    """The graph of `model` in eval.

    Args:
        model: layers of qfx.nn, and what torch offers that is exact on integers; docs/layers.md lists it. Calibrated.
        input_shape: without the batch axis; one shape per input if there are several, in order or by name.
        name: of the graph, a C identifier.

    Raises:
        InputError: no network that has Python code; shapes of another kind.
        LoweringError: a name that is no C identifier, or too long for files; a call that has no exact form on integers, or a hook
            that may change a value; names it, its line, and what to do.
        QuantizationError: a quantizer that is not calibrated or switched off.
        GraphError: shapes that do not fit.
    """
    check_hooks(check_network(model))
    return lower_traced(model, input_shape, name).graph


def lower_traced(model: nn.Module, input_shape: Shapes, name: str = "network") -> Lowered:
    """`lower`, with the trace beside the graph."""
    if not (isinstance(name, str) and name.isidentifier() and name.isascii()):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise LoweringError(f"the graph name {name!r} is no C identifier; use letters, digits and underscores")
    if len(name) > MAX_NAME:
        raise LoweringError(
            f"the graph name {name[:20]}... has {len(name)} characters, and files are named after it; {MAX_NAME} at most"
        )
    model = network_of(model)
    quantizers(model)  # each learns its path, for messages
    traced = trace(model)
    return _Lowering(traced, _shapes(input_shape, traced), name).run()


def _shapes(given: Shapes, traced: Trace) -> list[Shape]:
    names = [traced.names[node] for node in traced.nodes if node.op == "placeholder"]
    if isinstance(given, Mapping):
        if set(names) != set(given):
            raise LoweringError(
                f"the model reads the inputs {', '.join(names)}, but what was given is {', '.join(map(str, given)) or 'none'}"
            )
        return [_shape(f"the shape of input {name!r}", given[name]) for name in names]
    several = isinstance(given, list | tuple) and any(isinstance(part, list | tuple) for part in given)
    return [_shape("the input shape", part) for part in cast(Sequence[Shape], given if several else [given])]


def _shape(what: str, given: object) -> Shape:
    if not isinstance(given, list | tuple):
        raise InputError(
            f"{what} is {arguments.shown(given)}; a tuple without the batch axis is wanted, such as (channel, height, width)"
        )
    return tuple(argument("lower", f"a size in {what}", size, whole(1)) for size in cast(Sequence[object], given))


class _Lowering:
    """Walks the trace; `known` maps each fx node to its Value, or to the Python object that stands for it (a size)."""

    def __init__(self, trace: Trace, shapes: list[Shape], name: str) -> None:
        self.trace = trace
        self.shapes = shapes
        self.builder = GraphBuilder(name)
        self.position = {node: index for index, node in enumerate(trace.nodes)}
        self.known: dict[fx.Node, Any] = {}
        self.suffixes: dict[fx.Node, dict[str, str]] = {}

    def run(self) -> Lowered:
        inputs = [node for node in self.trace.nodes if node.op == "placeholder"]
        if len(inputs) != len(self.shapes):
            raise LoweringError(f"the model reads {len(inputs)} inputs, but {len(self.shapes)} input shapes were given")
        for node, shape in zip(inputs, self.shapes, strict=True):
            self.known[node] = self.builder.input(self.trace.names[node], self._input_type(node), shape)
        found: list[Value | Head] = []
        for node in self.trace.nodes:
            if node.op == "output":
                found = self._returned(node)
            elif node.op != "placeholder":
                self.known[node] = self._call(node)
        outputs = [value for value in found if isinstance(value, Value)]
        heads = [head for head in found if isinstance(head, Head)]
        outputs += {head.x.name: head.x for head in heads if head.x not in outputs}.values()
        graph = self.builder.build(*outputs, host=list(dict.fromkeys(step for head in heads for step in head.steps)))
        return Lowered(graph, self.trace, self.suffixes, [value.name if isinstance(value, Value) else None for value in found])

    def _input_type(self, node: fx.Node) -> FixedType:
        users = [user for user in self.trace.nodes if node in user.all_input_nodes and not asks_for_size(user)]
        types: set[FixedType] = set()
        for user in users:
            layer = self.trace.layer(user)
            if not isinstance(layer, InputLeaf):
                raise LoweringError(
                    f"input {node.name!r} goes to {self.trace.describe(user)}, which gives it no format; "
                    "let qfx.nn.QuantInput or qfx.nn.Quantize(QuantSpec(frac=...)) read it first"
                )
            types.add(layer.input_type())
        if len(types) != 1:
            raise LoweringError(f"input {node.name!r} is read in {len(types)} formats; it needs exactly one")
        return types.pop()

    def _returned(self, node: fx.Node) -> list[Value | Head]:
        found = self._resolve(node.args[0])
        values: list[Any] = [*found] if isinstance(found, list | tuple) else [found]
        ends = [value.x if isinstance(value, Head) else value for value in values]
        if not ends or not all(isinstance(end, Value) and end.name not in self._inputs() for end in ends):
            raise LoweringError("the model has to return a computed tensor, or a tuple of computed tensors")
        return values

    def _resolve(self, argument: Any) -> Any:
        """`argument` with every fx node replaced by what it stands for."""
        if isinstance(argument, fx.Node):
            return self.known[argument]
        if isinstance(argument, list | tuple):
            return tuple(self._resolve(item) for item in cast(Sequence[Any], argument))
        if isinstance(argument, slice):
            bounds = cast(tuple[Any, ...], (argument.start, argument.stop, argument.step))
            return slice(*(self._resolve(bound) for bound in bounds))
        if isinstance(argument, Mapping):
            return {key: self._resolve(item) for key, item in cast(Mapping[str, Any], argument).items()}
        return argument

    def _inputs(self) -> set[str]:
        return {value.name for node, value in self.known.items() if node.op == "placeholder"}

    def _call(self, node: fx.Node) -> Any:
        again = read_again(node, self.position, self.trace.layer)
        if again is not None:
            raise LoweringError(
                f"{self.trace.describe(node)}: it changes a tensor in place that {self.trace.describe(again)} reads again; "
                "use the form that makes a new tensor"
            )
        scope = Scope(self.builder, self.trace.names[node], self.trace.describe(node))
        args, kwargs = self._resolve(node.args), self._resolve(node.kwargs)
        try:
            result = self._result(node, scope, args, kwargs)
        except LoweringError as error:
            raise LoweringError(f"{self.trace.describe(node)}: {error}") from error
        except QuantizationError as error:
            if isinstance(self.trace.layer(node), Leaf):
                raise
            raise LoweringError(f"{self.trace.describe(node)}: {error}") from error
        except QfxError:
            raise
        except (TypeError, IndexError, ValueError, AttributeError, ZeroDivisionError) as error:
            raise LoweringError(f"{self.trace.describe(node)}: arguments that have no fixed-point form ({error})") from error
        self.suffixes[node] = scope.suffixes
        return result

    def _result(self, node: fx.Node, scope: Scope, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for operand in node.all_input_nodes:
            if isinstance(head := self.known[operand], Head):
                return _part(head, node.target, args)
        module = self.trace.layer(node)
        if module is not None:
            return self._module(node, module, scope, args, kwargs)
        if asks_for_size(node):
            return size(node, args)
        if node.target in ARITHMETIC and not any(isinstance(argument, Value) for argument in args):
            result = ARITHMETIC[node.target](*args)
            return result.add(scope) if isinstance(result, Part) else result
        return lower_call(scope, call_of(node, None), None, args, kwargs)

    def _module(
        self, node: fx.Node, module: nn.Module, scope: Scope, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Value | Head:
        if kwargs or not all(isinstance(argument, Value) for argument in args):
            raise LoweringError("a layer takes tensors by position, nothing else")
        if isinstance(module, Leaf):
            return module.lower(scope, *args)
        if isinstance(module, Quantizer):
            raise LoweringError("a bare quantizer is no layer; use qfx.nn.Quantize")
        return lower_call(scope, call_of(node, module), module, args, {})


def _part(head: Head, target: object, args: tuple[Any, ...]) -> Head:
    part = head.part(target, args)
    if part is None:
        advice = BY_NAME[head.name].advice
        raise LoweringError(f"it reads {head.misplaced}; {advice}")
    return part
