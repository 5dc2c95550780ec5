"""The torch.fx trace of a model with the layers of qfx.nn as leaves, and the name that each call gets in the graph."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import fx, nn

from qfx.errors import LoweringError, QfxError
from qfx.frontend.in_place import read_again
from qfx.frontend.leaf import Leaf
from qfx.quant import Quantizer
from qfx.quant.once import making

_INSIDE = (str(Path(torch.__file__).parent), str(Path(__file__).parent), str(Path(__file__).parents[1] / "nn"))
"""Code that is not the user's: torch, this package, qfx.nn."""


@dataclass
class Trace:
    """A traced model.

    Attributes:
        module: the trace, with the live submodules of the model.
        nodes: the nodes that the outputs depend on, in order.
        names: value name of each of them: a layer's path, else the fx name.
        sources: `file:line` of each call, where known.
    """

    module: fx.GraphModule
    nodes: list[fx.Node]
    names: dict[fx.Node, str] = field(default_factory=dict[fx.Node, str])
    sources: dict[fx.Node, str] = field(default_factory=dict[fx.Node, str])

    def layer(self, node: fx.Node) -> nn.Module | None:
        """The module that `node` calls, None if it calls a function."""
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None


class Tracer(fx.Tracer):
    """Traces what the own thread calls, with the layers of qfx.nn as leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: dict[fx.Node, str] = {}
        self._thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return super().call_module(m, forward, args, kwargs) if self._own() else forward(*args, **kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return super().getattr(attr, attr_val, parameter_proxy_cache) if self._own() else attr_val

    def _own(self) -> bool:
        """Whether the thread that traces asks; torch.fx catches the modules of all threads meanwhile."""
        return threading.get_ident() == self._thread

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Leaf | Quantizer) or super().is_leaf_module(m, module_qualified_name)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        self.sources[node] = _user_line(sys._getframe())  # pyright: ignore[reportPrivateUsage]
        return node


def trace(model: nn.Module) -> Trace:
    """Trace `model` as it computes in eval.

    Raises:
        LoweringError: the model's Python code depends on data, or does something else that torch.fx cannot follow.
    """
    with making:
        return _traced(nn.Sequential(model) if isinstance(model, Leaf) else model)  # the root of a trace is never a leaf


def _traced(model: nn.Module) -> Trace:
    tracer = Tracer()
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        graph = tracer.trace(model)
    except QfxError:
        raise
    except (RuntimeError, TypeError, ValueError, AttributeError, NameError) as error:
        raise LoweringError(
            f"{type(model).__name__} cannot be traced at {_failing_line(error)}: {error}; "
            "control flow, loops and shapes in forward must not depend on the data"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    nodes = _live(graph, tracer.root)
    return Trace(fx.GraphModule(tracer.root, graph), nodes, _names(nodes), tracer.sources)


def _live(graph: fx.Graph, root: nn.Module) -> list[fx.Node]:
    """Erase what the output does not depend on (placeholders, and changes in place that show later, stay); returns the rest."""
    needed: set[fx.Node] = set()
    position = {node: index for index, node in enumerate(graph.nodes)}

    def layer(node: fx.Node) -> nn.Module | None:
        return root.get_submodule(str(node.target)) if node.op == "call_module" else None

    for node in reversed(graph.nodes):
        if node.op == "output" or node in needed or read_again(node, position, layer):
            needed |= {node, *node.all_input_nodes}
    for node in reversed(graph.nodes):
        if node not in needed and node.op != "placeholder":
            graph.erase_node(node)
    return list(graph.nodes)


def _names(nodes: list[fx.Node]) -> dict[fx.Node, str]:
    names: dict[fx.Node, str] = {}
    taken: set[str] = set()
    modules_first = sorted(nodes, key=lambda node: node.op != "call_module")  # a path is never renamed for a function's sake
    for node in modules_first:
        base = str(node.target) if node.op in ("call_module", "placeholder") else node.name
        name, count = base, 0
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        names[node] = name
    return names


def _is_user(filename: str) -> bool:
    return not filename.startswith(_INSIDE)


def _user_line(frame: FrameType | None) -> str:
    while frame is not None and not _is_user(frame.f_code.co_filename):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _failing_line(error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_user(frame.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown line"
