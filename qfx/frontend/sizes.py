"""Sizes that a model asks for and computes with: numbers while lowering, the size of the batch a symbol."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from torch import fx


class Batch:
    """Stands for the batch size where a model asks for it."""

    def __repr__(self) -> str:
        return "batch"


BATCH = Batch()


ARITHMETIC: Mapping[object, Callable[..., Any]] = {
    getattr(operator, name): getattr(operator, name) for name in ("getitem", "mul", "add", "sub", "floordiv", "mod")
}
"""Arithmetic on sizes, which happens while lowering."""


def asks_for_size(node: fx.Node) -> bool:
    """Whether it reads the shape of a tensor, or the number of its axes."""
    attribute = node.target is getattr and len(node.args) == 2 and node.args[1] in ("shape", "ndim")
    return attribute or (node.op == "call_method" and node.target in ("size", "dim"))


def size(node: fx.Node, args: tuple[Any, ...]) -> Any:
    """`x.shape`, `x.size()`, `x.size(axis)`, the batch axis as a symbol; `x.dim()`, `x.ndim`.

    Args:
        args: of the node, with the Value in the place of the tensor.
    """
    asked = str(node.args[1]) if node.target is getattr else str(node.target)
    shape = (BATCH, *args[0].shape)
    if asked in ("dim", "ndim"):
        return len(shape)
    return shape[args[1]] if asked == "size" and len(args) == 2 else shape
