"""The torch.fx trace of a model with the layers of qfx.nn as leaves, and the name that each call gets in the graph."""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import fx, nn

from qfx.errors import LoweringError, QfxError
from qfx.frontend.given import check_network
from qfx.frontend.in_place import read_again
from qfx.frontend.leaf import Leaf
from qfx.frontend.spelling import spellings
from qfx.quant import Quantizer
from qfx.quant.kept_modes import modes_kept
from qfx.quant.once import making

_QFX = Path(__file__).parents[1]
_RUNNING = ("cli", "conversion", "engines", "frontend", "ir", "nn", "ops", "quant")
"""Packages of QFX that run the user's code."""
_INSIDE = (
    str(Path(torch.__file__).parent),
    *(str(_QFX / name) for name in _RUNNING),
    "<eval_with_key>",
    "<frozen importlib",
)
"""Code that is not the user's: torch, and what it writes out of a trace; those packages; Python's imports."""


@dataclass
class Trace:
    """A traced model.

    Attributes:
        module: the trace, with the live submodules of the model.
        nodes: the nodes that the outputs depend on, in order.
        names: value name of each of them: a layer's path, else the fx name.
        sources: `file:line` of each call, where the user's code makes it.
        paths: of each module and tensor that is called or read, in the model; `module` may have it under another, see `spelling`.
        spellings: path in the model -> path in `module`.
    """

    module: fx.GraphModule
    nodes: list[fx.Node]
    names: dict[fx.Node, str] = field(default_factory=dict[fx.Node, str])
    sources: dict[fx.Node, str] = field(default_factory=dict[fx.Node, str])
    paths: dict[fx.Node, str] = field(default_factory=dict[fx.Node, str])
    spellings: dict[str, str] = field(default_factory=dict[str, str])

    def layer(self, node: fx.Node) -> nn.Module | None:
        """The module that `node` calls, None if it calls a function."""
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None

    def describe(self, node: fx.Node) -> str:
        """A call as messages name it: path or name, class or function, and the user's line."""
        module = self.layer(node)
        if module is not None:
            what = f"{self.paths[node]} ({type(module).__name__})"
        elif node.op == "get_attr":
            what = f"the tensor {self.paths[node]}, read directly,"
        else:
            what = f"{node.name} ({getattr(node.target, '__name__', node.target)})"
        source = self.sources.get(node, "")
        return f"{what} at {source}" if source else what


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


def trace(model: nn.Module, reserved: Collection[str] = ()) -> Trace:
    """Trace `model` as it computes in eval.

    Args:
        model: any torch module; its own code runs once, with stand-ins in the place of tensors.
        reserved: names that no submodule may have in the trace's module.

    Raises:
        InputError: it is no network whose Python code can be run; see `check_network`.
        LoweringError: the model's Python code fails, depends on data, or does something else that torch.fx cannot follow.
    """
    check_network(model)
    with making:
        return _traced(nn.Sequential(model) if isinstance(model, Leaf) else model, reserved)  # a trace's root is never a leaf


def _traced(model: nn.Module, reserved: Collection[str]) -> Trace:
    tracer = Tracer()
    try:
        with modes_kept(model):
            model.eval()
            graph = tracer.trace(model)
    except QfxError:
        raise
    except (Exception, SystemExit) as error:  # the code is the user's, and may raise anything
        raise LoweringError(_failure(model, error)) from error
    nodes = _live(graph, tracer.root)
    paths = {node: str(node.target) for node in nodes if node.op in ("call_module", "get_attr")}
    spelt = spellings(tracer.root, reserved)
    named: dict[str, Any] = {}
    for node, path in paths.items():
        node.target = spelt.get(path, path)
        owner, _, name = path.rpartition(".")
        named[node.target] = getattr(tracer.root.get_submodule(owner), name)
    return Trace(fx.GraphModule(named, graph), nodes, _names(nodes, paths), tracer.sources, paths, spelt)


def _failure(model: nn.Module, error: BaseException) -> str:
    """What a message says of an exception that the model's own code ended with."""
    line, raised = user_line(error)
    where = f" at {line}" if line else ""
    if raised:
        return (
            f"{type(model).__name__} cannot be traced: its own code{where} raises {described(error)}; torch.fx runs it"
            " once with stand-ins in the place of tensors"
        )
    return (
        f"{type(model).__name__} cannot be traced{where}: {described(error)}; control flow, loops and shapes in forward must not"
        " depend on the data"
    )


def described(error: BaseException) -> str:
    """An exception in a line: its text, behind its class where that says more."""
    first = str(error).strip().partition("\n")[0]
    if first and isinstance(error, RuntimeError | TypeError | ValueError):
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


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


def _names(nodes: list[fx.Node], paths: dict[fx.Node, str]) -> dict[fx.Node, str]:
    names: dict[fx.Node, str] = {}
    taken: set[str] = set()
    modules_first = sorted(nodes, key=lambda node: node.op != "call_module")  # a path is never renamed for a function's sake
    for node in modules_first:
        base = paths[node] if node.op == "call_module" else str(node.target) if node.op == "placeholder" else node.name
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
    """Where the model's code makes a call; empty where torch makes it, as in nn.Sequential."""
    while frame is not None and frame.f_code is not trace.__code__ and not _is_user(frame.f_code.co_filename):
        frame = frame.f_back
    return "" if frame is None or frame.f_code is trace.__code__ else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def user_line(error: BaseException) -> tuple[str, bool]:
    """`file:line` of the user's code, the innermost, that an exception came through; and whether that line raised it itself."""
    found: TracebackType | None = None
    step = error.__traceback__
    while step is not None:
        found = step if _is_user(step.tb_frame.f_code.co_filename) else found
        step = step.tb_next
    if found is None:
        return "", False
    code = found.tb_frame.f_code
    raised = found.tb_next is None and code.co_code[found.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return f"{code.co_filename}:{found.tb_lineno}", raised
