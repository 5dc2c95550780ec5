"""Hooks that may change what a layer computes. A graph has none: a layer states its ops, whatever hangs on the module.

A hook that only looks may stay, as a def that returns nothing; of others nobody knows what they do to the next input. What a trace
enters, as containers, runs its hooks in the trace, so that they are part of the graph.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable, Iterator
from typing import Any, cast

from torch import nn
from torch.nn.modules import module as torch_module

from qfx.errors import LoweringError
from qfx.frontend.leaf import Leaf, NetworkModule
from qfx.quant import Quantizer

_KINDS = ("_forward_pre_hooks", "_forward_hooks")
_MAKES_WEIGHTS = "torch.nn.utils."
"""Where hooks live that compute a weight of other parameters before each forward."""


def check_hooks(model: nn.Module) -> None:
    """Refuse hooks, and forwards put on a module, that a lowering would pass by.

    Raises:
        LoweringError: names the module, and the hook.
    """
    for path, module in _passed_by(model):
        where = f"{path or 'the model'} ({type(module).__name__})"
        if isinstance(module, Leaf) and "forward" in vars(module):
            raise LoweringError(f"{where} has a forward of its own, which a graph passes by; derive a layer, and give it a lower")
        for hook in _hooks(module):
            advice = _advice(hook)
            if advice:
                raise LoweringError(f"{where} has a hook, {_named(hook)}, which may change what it computes; {advice}")


def _passed_by(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """What a trace calls without its hooks: its root, and what it does not enter."""
    roots = (model, model.module if isinstance(model, NetworkModule) else model)
    for path, module in cast(Iterator[tuple[str, nn.Module]], model.named_modules()):
        plain = type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.Sequential)
        if module in roots or plain or isinstance(module, Leaf | Quantizer):
            yield path, module


def _hooks(module: nn.Module) -> list[Callable[..., Any]]:
    own = [hook for kind in _KINDS for hook in vars(module)[kind].values()]
    return own + [hook for kind in _KINDS for hook in vars(torch_module)[f"_global{kind}"].values()]


def _advice(hook: Callable[..., Any]) -> str:
    """What to do about it; empty for a hook that only looks."""
    if type(hook).__module__.startswith(_MAKES_WEIGHTS):
        return "use torch.nn.utils.parametrizations, or remove it, as by torch.nn.utils.remove_weight_norm"
    if returns_nothing(hook):
        return ""
    return "remove it (handle.remove()) before lowering, or, if it only looks, write it as a def that returns nothing"


def returns_nothing(function: Callable[..., Any]) -> bool:
    """Whether a function is known to return None: one in Python, without a return of anything else."""
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(type(function), "__call__", None)  # noqa: B004  an object that is called, such as an instance of a class
    code = getattr(function, "__code__", None) or getattr(call, "__code__", None)
    if code is None:
        return False
    before = None
    for step in dis.get_instructions(code):
        if step.opname == "RETURN_CONST" and step.argval is not None:
            return False
        if step.opname == "RETURN_VALUE":
            none = before is not None and before.opname == "LOAD_CONST" and before.argval is None
            if not none or step.is_jump_target:
                return False
        before = step
    return True


def _named(hook: Callable[..., Any]) -> str:
    code = getattr(hook, "__code__", None)
    name = getattr(hook, "__qualname__", type(hook).__qualname__)
    return name if code is None else f"{name} at {code.co_filename}:{code.co_firstlineno}"
