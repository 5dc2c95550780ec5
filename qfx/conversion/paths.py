"""Paths of layers: whose forward makes a call, and names that a converted network cannot give."""

from __future__ import annotations

import re
from typing import Any

from torch import fx, nn

import qfx.nn as qnn
from qfx.frontend.trace import Trace

RESERVED = frozenset((*dir(fx.GraphModule), *dir(qnn.Model()))) - frozenset(dir(nn.Module()))
"""What `Converted` has attributes for already, `module` among them."""


def allowed(name: str) -> str:
    """The name of a layer at the top, with a `_` behind it where that is reserved."""
    return f"{name}_" if name in RESERVED else name


def owner(traced: Trace, node: fx.Node) -> str:
    """Path of the module whose forward makes the call, as code spells it; empty for the model itself."""
    stack: Any = node.meta.get("nn_module_stack") or {}
    path = re.sub(r"@\d+$", "", next(reversed(stack), ""))  # torch counts the calls of a module behind an @
    path = path.rpartition(".")[0] if node.op == "call_module" else path
    return traced.spellings.get(path, path)


def joined(owner: str, name: str) -> str:
    """The path of what an owner calls."""
    name = name.strip("_")
    return f"{owner}.{name}" if owner else allowed(name)
