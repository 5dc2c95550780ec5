"""The code of a converted network, a torch.fx graph, as data and back.

torch.fx writes Python out of a graph and executes it. So whatever goes into its text as it stands is checked when a file is read:
names are identifiers, paths those of modules that are there, functions and methods those of the table of calls.
"""

from __future__ import annotations

import keyword
from typing import Any, cast

from torch import fx, nn

from qfx.saving.callables import ATTRIBUTES, METHODS
from qfx.saving.plain import NotPlain, decode, encode

ARGUMENTS = frozenset(("tuple", "dict", "slice", "float", "ellipsis", "dtype", "node"))
"""Kinds of values, see `plain`, beside those of JSON."""


def describe_graph(graph: fx.Graph) -> list[dict[str, Any]]:
    """The nodes of a graph, in order.

    Raises:
        NotPlain: a call, or an argument of one, that files do not name.
    """
    return [
        {
            "op": node.op,
            "name": node.name,
            "target": _target(node),
            "args": encode(tuple(node.args), _node),
            "kwargs": encode(dict(node.kwargs), _node),
        }
        for node in graph.nodes
    ]


def _node(value: Any) -> Any:
    return {"node": value.name} if isinstance(value, fx.Node) else None


def _target(node: fx.Node) -> Any:
    if node.op == "get_attr" or (node.op == "call_method" and node.target not in METHODS):
        raise NotPlain(f"{node.op} {node.target}")
    if node.target is getattr:
        return "getattr"
    return encode(node.target)


def build_graph(nodes: list[dict[str, Any]], root: nn.Module) -> fx.Graph:
    """The graph of `describe_graph`, for the modules below `root`.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: the data were not written by `describe_graph`.
    """
    graph = fx.Graph()
    known: dict[str, fx.Node] = {}

    def node(kind: str, entry: Any) -> fx.Node:
        if kind != "node":
            raise ValueError(f"{kind!r} is nothing that a file may name")
        return known[entry]

    for item in nodes:
        _check_argument([item["args"], item["kwargs"]])
        args, kwargs = decode(item["args"], node), decode(item["kwargs"], node)
        target = _checked(item["op"], item["target"], args, kwargs, root)
        name = _identifier(item["name"])
        known[name] = graph.create_node(item["op"], target, args, kwargs, name=name)
    graph.lint()
    return graph


def _check_argument(document: Any) -> None:
    """Arguments are numbers, texts, dtypes and results of other calls: torch.fx writes their `repr` into the code."""
    if isinstance(document, list):
        for part in cast("list[Any]", document):
            _check_argument(part)
    elif isinstance(document, dict):
        ((kind, entry),) = cast("dict[str, Any]", document).items()
        if kind not in ARGUMENTS:
            raise ValueError(f"{kind!r} is no argument of a call")
        _check_argument(entry)


def _checked(op: str, target: Any, args: Any, kwargs: Any, root: nn.Module) -> Any:
    """The target of a node, once all that becomes code has been looked at."""
    if not isinstance(args, tuple) or not isinstance(kwargs, dict):
        raise TypeError("the arguments of a call are no tuple and dictionary")
    for name in cast("dict[str, Any]", kwargs):
        _identifier(name)
    if op == "call_function":
        return _function(target, cast("tuple[Any, ...]", args))
    if op == "call_method" and target in METHODS:
        return target
    if op == "call_module":
        root.get_submodule(target)
        return target
    if op == "placeholder" and not args and not kwargs:
        return _identifier(target)
    if op == "output" and target == "output":
        return target
    raise ValueError(f"{op} {target!r} is no call that a file may name")


def _function(target: Any, args: tuple[Any, ...]) -> Any:
    if target == "getattr":
        if len(args) != 2 or args[1] not in ATTRIBUTES:
            raise ValueError(f"{args[1:]!r} is no attribute that a file may name")
        return getattr
    found = decode(target)
    if not callable(found):
        raise TypeError(f"{target!r} is no function")
    return found


def _identifier(name: Any) -> str:
    if (
        not isinstance(name, str)
        or not (name.isidentifier() and name.isascii())
        or keyword.iskeyword(name)
        or name.startswith("__")
    ):
        raise ValueError(f"{name!r} is no name")
    return name
