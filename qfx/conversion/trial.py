"""Whether a call that is kept is exact on integers: it is lowered by itself, on values of some format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import fx, nn

from qfx.conversion.tracked import Tracked
from qfx.errors import QfxError
from qfx.fixed import FixedType
from qfx.frontend.calls.heads import Head
from qfx.frontend.calls.table import call_of, lower_call, refusal
from qfx.frontend.scope import Scope
from qfx.ir import GraphBuilder

SOME = FixedType(True, 8, 4)


def trial(node: fx.Node, module: nn.Module | None, known: Mapping[fx.Node, Any]) -> str | None:
    """Why the call has no exact form, and what to do; None if it has one, or if only the whole network can tell.

    Args:
        node: of the float model's trace.
        module: that it calls, if it calls one.
        known: what its operands are: Values, or sizes.
    """
    call = call_of(node, module)
    values = {other: known[other] for other in node.all_input_nodes}
    part = node.target is getattr and not any(isinstance(value, Tracked) and value.shape for value in values.values())
    if call.lower is None and not part:
        return refusal(call, module)
    if part or not all(isinstance(value, Tracked) and len(value.shape) > 1 for value in values.values()):
        return None  # shapes that are computed, and parts of tuples
    scope = Scope(GraphBuilder("trial"), node.name)
    inputs = {other: scope.builder.input(other.name, SOME, value.shape[1:]) for other, value in values.items()}
    resolved: Any = fx.map_arg((node.args, node.kwargs), cast(Any, inputs.__getitem__))
    try:
        result = lower_call(scope, call, module, *resolved)
    except QfxError as error:
        return str(error)
    except (TypeError, IndexError, ValueError, AttributeError, ZeroDivisionError) as error:
        return f"arguments that have no fixed-point form ({error})"
    if isinstance(result, Head) and not result.ends(node):
        return f"it is {result.misplaced}; {call.advice}"
    return None
