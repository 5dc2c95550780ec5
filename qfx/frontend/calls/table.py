"""All calls of torch that QFX knows, and how a traced call is found among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx, nn

from qfx.errors import LoweringError
from qfx.frontend.calls import activations, arithmetic, heads, pools, shapes, slicing, unsupported, weighted
from qfx.frontend.calls.call import UNKNOWN, Call
from qfx.frontend.scope import Scope

CALLS: tuple[Call, ...] = (
    *weighted.CALLS,
    *arithmetic.CALLS,
    *activations.CALLS,
    *pools.CALLS,
    *shapes.CALLS,
    *slicing.CALLS,
    *heads.CALLS,
    *unsupported.CALLS,
)
BY_NAME: Mapping[str, Call] = {call.name: call for call in CALLS}

_FUNCTIONS: Mapping[object, Call] = {function: call for call in CALLS for function, _ in call.functions()}
_METHODS: Mapping[str, Call] = {method: call for call in CALLS for method in call.methods()}
_MODULES: Mapping[type[nn.Module], Call] = {kind: call for call in CALLS for kind in call.modules}
_OUT_OF_PLACE: Mapping[object, object] = {function: plain for call in CALLS for function, plain in call.functions()}


def call_of(node: fx.Node, module: nn.Module | None) -> Call:
    """The row of a traced call; `UNKNOWN` for one that no row knows.

    Args:
        module: that `node` calls, if it calls one; a subclass has the row of its nearest base.
    """
    if module is not None:
        return next((_MODULES[kind] for kind in type(module).__mro__ if kind in _MODULES), UNKNOWN)
    return _METHODS.get(str(node.target), UNKNOWN) if node.op == "call_method" else _FUNCTIONS.get(node.target, UNKNOWN)


def out_of_place(node: fx.Node) -> Any:
    """The function or method that makes a new tensor of what `node` computes."""
    return str(node.target).rstrip("_") if node.op == "call_method" else _OUT_OF_PLACE.get(node.target, node.target)


def lower_call(scope: Scope, call: Call, module: nn.Module | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What a call of torch lowers to.

    Args:
        call: its row.
        module: of torch.nn that is called, if it is one, with one operand.
        args, kwargs: as in the trace, with Values in the places of tensors.

    Raises:
        LoweringError: it has no exact form.
    """
    if call.lower is None:
        raise LoweringError(refusal(call, module))
    if module is not None:
        return call.lower(scope, args[0], **call.arguments(module))
    args, rest = by_position(args, kwargs)
    return call.lower(scope, *args, **rest)


def refusal(call: Call, module: nn.Module | None) -> str:
    """What a message says of a call that has no exact form, behind its name."""
    return f"{'it has no fixed-point form' if module is None else 'it computes in floating point'}; {call.advice}"


def by_position(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with the tensor in front, where it was given as `input`, which is what torch's functions call it."""
    front = (kwargs["input"],) if "input" in kwargs else ()
    return (*front, *args), {key: entry for key, entry in kwargs.items() if key != "input"}
