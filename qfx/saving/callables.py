"""Names of torch's functions, methods and modules in files: those of the front end's table of calls, and nothing else."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from qfx.frontend.calls.table import CALLS
from qfx.frontend.sizes import ARITHMETIC

_SPACES: Mapping[str, Any] = {"torch": torch, "torch.nn.functional": functional, "operator": operator}


def _functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every function that lowers or converts, under every name that torch has for it."""
    used = [call for call in CALLS if call.lower is not None or call.handled]
    wanted = {function for call in used for function, _ in call.functions()} | set(ARITHMETIC)
    names = {form for call in used for name in (*call.names, *call.operators) for form in (name, f"{name}_", f"i{name}")}
    for space, module in _SPACES.items():
        for name in sorted(names | {function.__name__ for function in ARITHMETIC.values()}):
            function = getattr(module, name, None)
            if callable(function) and function in wanted:
                yield f"{space}.{name}", function


FUNCTIONS: Mapping[str, Callable[..., Any]] = dict(_functions())
"""By name, such as `torch.relu` or `operator.add`."""

_NAMES: Mapping[Any, str] = {function: name for name, function in reversed(FUNCTIONS.items())}

METHODS = frozenset(method for call in CALLS if call.lower is not None for method in call.methods()) | {"size", "dim"}
"""Of tensors."""

ATTRIBUTES = frozenset(("shape", "ndim", "values", "indices"))
"""Of tensors, and of what topk and sort return."""

_MODULES: tuple[type[nn.Module], ...] = tuple(kind for call in CALLS if call.lower is not None for kind in call.modules)
_CONTAINERS = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)


def name_of(function: Any) -> str | None:
    """The name of a function; None for one that files do not name."""
    try:
        return _NAMES.get(function)
    except TypeError:  # it has no hash
        return None


def module_named(name: str) -> type[nn.Module] | None:
    """A class of torch.nn that files may name: a container, or a module that is a row of the table."""
    kind = getattr(nn, name, None)
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        return None
    return kind if kind in _CONTAINERS or issubclass(kind, _MODULES) else None
