"""Tensors changed in place. A graph has none: each node makes a value of its own, so what was changed must not be read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import fx, nn

from qfx.frontend.calls.call import Storage
from qfx.frontend.calls.table import call_of
from qfx.frontend.leaf import Leaf

Layer = Callable[[fx.Node], nn.Module | None]
"""The module that a node calls, if it calls one."""


def read_again(node: fx.Node, position: Mapping[fx.Node, int], layer: Layer) -> fx.Node | None:
    """The first node after `node` that reads a tensor which `node` changed in place; None if there is none.

    Args:
        position: of each node in the trace.
        layer: of the trace.
    """
    if not _changes(node, layer(node)):
        return None
    later = [user for changed in _storage(node.args[0], layer) for user in changed.users if position.get(user, -1) > position[node]]
    return min(later, key=lambda user: position[user], default=None)


def _changes(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether `node` writes to its first operand: `x.add_(y)`, `inplace=True`. torch.fx traces `x += y` as a sum."""
    if module is not None:
        return not isinstance(module, Leaf) and bool(getattr(module, "inplace", False))
    name = str(node.target) if node.op == "call_method" else str(getattr(node.target, "__name__", ""))
    return (name.endswith("_") and not name.endswith("__")) or node.kwargs.get("inplace") is True


def _storage(operand: object, layer: Layer) -> Iterator[fx.Node]:
    """`operand` and the tensors of which it is another view."""
    while isinstance(operand, fx.Node):
        yield operand
        shared = operand.args and call_of(operand, layer(operand)).storage is not Storage.NEW
        operand = operand.args[0] if shared else None
