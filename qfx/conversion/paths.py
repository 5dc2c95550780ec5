"""Paths of layers: whose forward makes a call, and names that a converted network cannot give."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

import qfx.nn as qnn

RESERVED = frozenset((*dir(fx.GraphModule), *dir(qnn.Model()))) - frozenset(dir(nn.Module()))
"""What `Converted` has attributes for already, `module` among them."""


def allowed(path: str) -> str:
    """The path, with a `_` behind its first part where that is reserved."""
    top, dot, rest = path.partition(".")
    return f"{top}_{dot}{rest}" if top in RESERVED else path


def owner(node: fx.Node) -> str:
    """Path of the module whose forward makes the call; empty for the model itself."""
    stack: Any = node.meta.get("nn_module_stack") or {}
    key: str = next(reversed(stack), "")
    path = key.partition("@")[0]  # torch counts the calls of a module behind an @
    return allowed(path.rpartition(".")[0] if node.op == "call_module" else path)


def joined(owner: str, name: str) -> str:
    """The path of what an owner calls."""
    name = name.strip("_")
    return f"{owner}.{name}" if owner else allowed(name)
