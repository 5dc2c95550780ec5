"""Whether a call that is kept is exact on integers: it is lowered by itself, on values of some format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import fx, nn

from qfx.conversion.values import Value
from qfx.errors import QfxError
from qfx.export.advice import advice
from qfx.export.functions import FUNCTIONS, METHODS, lower_module
from qfx.fixed import FixedType
from qfx.ir import GraphBuilder
from qfx.nn.scope import Scope

SOME = FixedType(True, 8, 4)


def trial(node: fx.Node, module: nn.Module | None, known: Mapping[fx.Node, Any]) -> str | None:
    """Why the call has no exact form, and what to do; None if it has one, or if only the whole network can tell.

    Args:
        node: of the float model's trace.
        module: that it calls, if it calls one.
        known: what its operands are: Values, or sizes.
    """
    handler = METHODS.get(str(node.target)) if node.op == "call_method" else FUNCTIONS.get(node.target)
    if module is None and handler is None:
        return f"it has no fixed-point form; {advice(getattr(node.target, '__name__', str(node.target)))}"
    values = {other: known[other] for other in node.all_input_nodes}
    if not all(isinstance(value, Value) and len(value.shape) > 1 for value in values.values()):
        return None  # shapes that are computed, and parts of tuples
    scope = Scope(GraphBuilder("trial"), node.name)
    inputs = {other: scope.builder.input(other.name, SOME, value.shape[1:]) for other, value in values.items()}
    resolved: Any = fx.map_arg((node.args, node.kwargs), cast(Any, inputs.__getitem__))
    args, kwargs = resolved
    try:
        if module is not None:
            lowered = lower_module(scope, module, args[0])
            return None if lowered is not None else f"it computes in floating point; {advice(type(module).__name__)}"
        if handler is not None:
            handler(scope, *((kwargs["input"], *args) if "input" in kwargs else args), **_rest(kwargs))
    except QfxError as error:
        return str(error)
    except (TypeError, IndexError, ValueError, AttributeError, ZeroDivisionError) as error:
        return f"arguments that have no fixed-point form ({error})"
    return None


def _rest(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry for key, entry in kwargs.items() if key != "input"}
