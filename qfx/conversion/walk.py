"""The pass over the trace of a float model: each call is replaced by a layer of qfx.nn, or kept, and casts go in between.

A value is cast where something reads it that wants fewer bits; see `Kind`. Which call it is says the table of the front end; the
handlers of calls are given. What has no quantized counterpart is noted and the walk goes on, so that one error names everything.
"""

from __future__ import annotations

import fnmatch
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from torch import fx, nn
from torch.nn.utils import parametrize

import qfx.nn as qnn
from qfx.conversion.config import ConvertConfig, Formats
from qfx.conversion.paths import joined, owner
from qfx.conversion.shapes import holds_tensors, shape_of
from qfx.conversion.tracked import Kind, Tracked
from qfx.conversion.trial import trial
from qfx.errors import QfxError
from qfx.frontend.calls.call import UNKNOWN, Call, Storage
from qfx.frontend.calls.table import by_position, call_of, out_of_place
from qfx.frontend.trace import Trace, Tracer
from qfx.nn.quantize import InputLayer
from qfx.settings import nearest

Handler = Callable[..., Any]
"""Takes the walk and what the torch function takes, with Values in the places of tensors; for a module with parameters the module
and its operands. Returns the result, or raises Unconvertible."""
_INPUT_NAME = "input"


class Unconvertible(Exception):
    """Raised by a handler: why a call cannot be converted, and what to do."""


class Walk:
    """The state of the pass.

    Args:
        traced: the float model, a copy of the caller's.
        results: what each node computed for the sample.
        config: of the conversion.
        inputs: the layer that reads each input, by name.
        handlers: by the canonical name of the call.

    Attributes:
        graph: the new graph.
        modules: its layers by path.
        problems: what could not be converted.
        names: paths of the layers that have formats.
        known: what a node of the trace has become: a `Tracked`, or a node of the new graph for a size.
        node: of the trace, that is being converted.
        call: its row.
    """

    def __init__(
        self,
        traced: Trace,
        results: Mapping[fx.Node, Any],
        config: ConvertConfig,
        inputs: Mapping[str, InputLayer],
        handlers: Mapping[str, Handler],
    ) -> None:
        self.traced, self.results, self.config, self.inputs = traced, results, config, inputs
        self.graph = fx.Graph(tracer_cls=Tracer)  # which unpickling takes, too
        self.modules: dict[str, nn.Module] = {}
        self.problems: list[str] = []
        self.names: list[str] = []
        self._handlers = handlers
        self._taken = {name for name, _ in cast(Iterator[tuple[str, nn.Module]], traced.module.named_modules())}
        self._swapped: dict[str, nn.Module] = {}
        self._calls: dict[str, int] = {}
        self._casts: dict[fx.Node, Tracked] = {}
        self._first_last = _first_last(traced)
        self.known: dict[fx.Node, Any] = {}
        self.node: fx.Node = traced.nodes[0]
        self.call: Call = UNKNOWN

    def run(self) -> None:
        """Walk all nodes; leaves graph, modules and problems."""
        for node in self.traced.nodes:
            self.node = node
            if node.op == "output":
                self.graph.output(fx.map_arg(node.args[0], self._mapped))
            else:
                self.known[node] = self._placeholder() if node.op == "placeholder" else self._call()
        if not self.problems:
            self._check_patterns()

    def _check_patterns(self) -> None:
        self.problems += [
            f"the pattern {pattern!r} of [layers] fits no layer{nearest(pattern, self.names)};"
            f" the layers are {', '.join(self.names)}"
            for pattern in self.config.layers
            if not any(fnmatch.fnmatchcase(name, pattern) for name in self.names)
        ]

    def _placeholder(self) -> Tracked:
        node, name = self.node, str(self.node.target)
        new = self.graph.node_copy(node)
        new.type = None
        layer, shape = self.inputs[name], shape_of(self.results[node])
        if any(isinstance(self.traced.layer(user), InputLayer) for user in node.users):
            return Tracked(new, node, Kind.CAST, True, shape)
        alone = sum(other.op == "placeholder" for other in self.traced.nodes) == 1
        path = self._free(_INPUT_NAME if alone else f"{_INPUT_NAME}_{name}")
        self.modules[path] = layer
        quant = getattr(layer, "quant", None)
        signed = layer.input_type().signed if quant is None else quant.spec.signed
        return Tracked(self.graph.call_module(path, (new,)), node, Kind.CAST, signed, shape)

    def _call(self) -> Any:
        node, module = self.node, self.traced.layer(self.node)
        self.call = call_of(node, module)
        if node.op == "get_attr":
            return self.value(self._nothing(), Kind.CAST, signed=True)  # what reads it is refused
        try:
            self._check()
            if module is not None:
                return self._module(module)
            if not holds_tensors(self.results[node]):
                return self.graph.node_copy(node, self._mapped)  # a size
            if not self.call.handled or self.call.takes_module:
                return self.keep()
            resolved: Any = fx.map_arg((node.args, node.kwargs), self.known.__getitem__)
            args, kwargs = by_position(*resolved)
            return self._handlers[self.call.name](self, *args, **kwargs)
        except (Unconvertible, QfxError) as error:
            self.problems.append(f"{self.describe(node)}: {error}")
        except (TypeError, IndexError, ValueError, AttributeError) as error:
            self.problems.append(f"{self.describe(node)}: arguments that have no fixed-point form ({error})")
        return self.value(self._nothing(), Kind.CAST, signed=True)

    def _nothing(self) -> fx.Node:
        """In place of what could not be converted; it never runs, since the problems are raised."""
        return self.graph.create_node("call_function", operator.pos)

    def _check(self) -> None:
        read = ", ".join(self.traced.paths[other] for other in self.node.all_input_nodes if other.op == "get_attr")
        if read:
            raise Unconvertible(f"it reads {read} directly, a tensor without a format; use a layer that owns it, as nn.Linear does")
        module = self.traced.layer(self.node)
        if module is None:
            return
        if parametrize.is_parametrized(module):
            raise Unconvertible(
                "its weights are computed; call torch.nn.utils.parametrize.remove_parametrizations(module, 'weight') first"
            )
        if module._forward_hooks or module._forward_pre_hooks:  # pyright: ignore[reportPrivateUsage]
            raise Unconvertible("it has hooks, which the converted layer would not run; remove them first")

    def _module(self, module: nn.Module) -> Any:
        if not self.call.handled and not isinstance(module, qnn.Layer):
            return self.keep()
        args = [self.known[argument] for argument in self.node.args if isinstance(argument, fx.Node)]
        if self.node.kwargs or not args or len(args) < len(self.node.args):
            raise Unconvertible("a layer takes tensors by position, nothing else")
        if isinstance(module, qnn.Layer):
            return self.own(module, *args)
        handler = self._handlers[self.call.name]
        if self.call.takes_module:
            return handler(self, module, *args)
        return handler(self, *args, **self.call.arguments(module))

    # What handlers use.

    def value(self, new: fx.Node, kind: Kind, signed: bool) -> Tracked:
        """The result of the present node."""
        return Tracked(new, self.node, kind, signed, shape_of(self.results[self.node]))

    def name(self, part: str = "") -> str:
        """A path for the layer of the present node: the module's own, or the function's name beside the modules of its caller."""
        if self.node.op == "call_module" and not part:
            path = str(self.node.target)
            self._calls[path] = self._calls.get(path, 0) + 1
            return path if self._calls[path] == 1 else self._free(path)
        return self._free(
            joined(owner(self.traced, self.node), part or str(getattr(self.node.target, "__name__", self.node.target)))
        )

    def formats(self, path: str, layer: str) -> Formats:
        """The settings for a layer that is to be placed."""
        self.names.append(path)
        return self.config.formats(path, layer, first_last=self.node in self._first_last)

    def place(self, path: str, layer: nn.Module, *operands: Tracked, kind: Kind, signed: bool) -> Tracked:
        """Call `layer`, which is new, under `path`."""
        self.modules[path] = layer
        return self.value(self.graph.call_module(path, tuple(operand.node for operand in operands)), kind, signed)

    def shared(self, make: Callable[[Formats], nn.Module], layer: str, x: Tracked, kind: Kind) -> Tracked:
        """Call the quantized counterpart of a module with weights; it is made once, however often it is called."""
        path = str(self.node.target)
        if path not in self._swapped:
            self._swapped[path] = make(self.formats(path, layer))
        return self.place(path, self._swapped[path], x, kind=kind, signed=True)

    def keep(self, kind: Kind | None = None, signed: bool | None = None) -> Tracked:
        """Keep the call as it is: it is exact on integers.

        Raises:
            Unconvertible: it is not.
        """
        node, module = self.node, self.traced.layer(self.node)
        operands = [operand for other in node.all_input_nodes if isinstance(operand := self.known[other], Tracked)]
        reason = trial(node, module, self.known)
        if reason is not None:
            raise Unconvertible(reason)
        if module is not None:
            self.modules[str(node.target)] = module
        kinds, signs = [operand.kind for operand in operands], [operand.signed for operand in operands]
        new = self.graph.node_copy(node, self._mapped)
        if module is None:
            new.target = out_of_place(node)
        return self.value(new, max(kinds) if kind is None else kind, any(signs) if signed is None else signed)

    def own(self, layer: qnn.Layer, *operands: Tracked) -> Tracked:
        """Keep a layer of qfx.nn that the model has already."""
        quant = getattr(layer, "quant", None)
        path = str(self.node.target)
        self.names.append(path)
        if quant is not None:
            return self.place(path, layer, *operands, kind=Kind.CAST, signed=quant.spec.signed)
        affine = isinstance(layer, qnn.BatchNorm1d | qnn.BatchNorm2d)
        kind = Kind.AFFINE if affine else Kind.SUM if isinstance(layer, qnn.Add) else Kind.PRODUCT
        return self.place(path, layer, *operands, kind=kind, signed=True)

    def cast(self, x: Tracked) -> Tracked:
        """`x` in few bits on one grid; what a weighted layer reads. Cast once, for all that read it so."""
        if x.kind is Kind.CAST:
            return x
        if x.node not in self._casts:
            path = self._cast_name(x)
            quant = self.formats(path, "Quantize").result(x.signed)
            self._casts[x.node] = self._inserted(path, qnn.Quantize(quant), x, x.signed)
        return self._casts[x.node]

    def narrow(self, x: Tracked, limit: Kind) -> Tracked:
        """`x`, cast as a branch is if it is wider than `limit`."""
        if x.kind <= limit:
            return x
        path = self._cast_name(x)
        return self._inserted(path, qnn.Quantize(self.formats(path, "Quantize").branch()), x, True)

    def operand(self, x: Tracked) -> Tracked:
        """`x` as an addition reads it: the cast that a weighted layer reads, if there is one."""
        return self.cast(x) if x.node in self._casts or self._feeds_weights(x.old) else x

    def _inserted(self, path: str, layer: nn.Module, x: Tracked, signed: bool) -> Tracked:
        self.modules[path] = layer
        return Tracked(self.graph.call_module(path, (x.node,)), x.old, Kind.CAST, signed, x.shape)

    def _cast_name(self, x: Tracked) -> str:
        known = str(x.node.target) if x.node.op == "call_module" else joined(owner(self.traced, x.old), x.node.name)
        return self._free(f"{known}_cast")

    def _feeds_weights(self, node: fx.Node) -> bool:
        """Whether a convolution or linear layer reads the value, as it is or in another shape."""
        return any(
            _is_product(self.traced, user)
            or (call_of(user, self.traced.layer(user)).storage is Storage.SAME and self._feeds_weights(user))
            for user in node.users
        )

    def _free(self, path: str) -> str:
        count, name = 0, path
        while name in self._taken:
            count += 1
            name = f"{path}_{count}"
        self._taken.add(name)
        return name

    def _mapped(self, node: fx.Node) -> fx.Node:
        known = self.known[node]
        return known.node if isinstance(known, Tracked) else known

    def describe(self, node: fx.Node) -> str:
        """A call as messages name it."""
        module, source = self.traced.layer(node), self.traced.sources.get(node, "")
        name = getattr(node.target, "__name__", node.target)
        path = joined(owner(self.traced, node), node.name) if module is None else self.traced.paths[node]
        what = f"{path} ({name if module is None else type(module).__name__})"
        return f"{what} at {source}" if source else what


def _is_product(traced: Trace, node: fx.Node) -> bool:
    """Whether a module multiplies its input with weights."""
    module = traced.layer(node)
    return module is not None and call_of(node, module).product


def _first_last(traced: Trace) -> set[fx.Node]:
    """The weighted layers with none before them, and those with none behind them."""
    weighted = [node for node in traced.nodes if _is_product(traced, node)]
    later: set[fx.Node] = set()
    for node in traced.nodes:
        if any(other in later or other in weighted for other in node.all_input_nodes):
            later.add(node)
    earlier: set[fx.Node] = set()
    for node in reversed(traced.nodes):
        if any(user in earlier or user in weighted for user in node.users):
            earlier.add(node)
    return {node for node in weighted if node not in later or node not in earlier}
