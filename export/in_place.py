"""Tensors changed in place. A graph has none: each node makes a value of its own, so what was changed must not be read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import fx, nn

from qfx.nn.layer import Layer

_SHAPES = ("view", "reshape", "flatten", "unflatten", "transpose", "swapaxes", "permute", "contiguous", "squeeze", "unsqueeze")
_SAME_STORAGE = frozenset((*_SHAPES, "getitem", "narrow", "select", "split", "chunk"))
"""Names of methods and functions whose result may share the storage of its operand."""


def read_again(node: fx.Node, position: Mapping[fx.Node, int], module: nn.Module | None) -> fx.Node | None:
    """The first node after `node` that reads a tensor which `node` changed in place; None if there is none.

    Args:
        position: of each node in the trace.
        module: that `node` calls, if it calls one.
    """
    if not _changes(node, module):
        return None
    later = [user for changed in _storage(node.args[0]) for user in changed.users if position.get(user, -1) > position[node]]
    return min(later, key=lambda user: position[user], default=None)


def _changes(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether `node` writes to its first operand: `x.add_(y)`, `inplace=True`. torch.fx traces `x += y` as a sum."""
    if module is not None:
        return not isinstance(module, Layer) and bool(getattr(module, "inplace", False))
    name = _name(node)
    return (name.endswith("_") and not name.endswith("__")) or node.kwargs.get("inplace") is True


def _storage(operand: object) -> Iterator[fx.Node]:
    """`operand` and the tensors of which it is another view."""
    while isinstance(operand, fx.Node):
        yield operand
        operand = operand.args[0] if operand.args and _name(operand) in _SAME_STORAGE else None


def _name(node: fx.Node) -> str:
    return str(node.target) if node.op == "call_method" else str(getattr(node.target, "__name__", ""))
