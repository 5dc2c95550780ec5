"""Which casts an export takes unasked.

C simulation here runs on AMD's open headers. Where those agree with IEEE 1666 for every format, the vendor's own headers can
be expected to do the same; the other modes are taken when the user says so, and the project's self-check then shows what the
user's own tools make of them.
"""

from __future__ import annotations

from qfx.errors import ExportError
from qfx.fixed import Overflow, Rounding
from qfx.ir import Graph
from qfx.ops import Requantize

ROUNDINGS = (Rounding.TRN, Rounding.RND, Rounding.RND_CONV)
OVERFLOWS = (Overflow.WRAP, Overflow.SAT)


def check_modes(graph: Graph, allow_unverified_modes: bool) -> None:
    """Refuse casts in modes other than `ROUNDINGS` and `OVERFLOWS`, unless they are allowed.

    Raises:
        ExportError: names the first such layer, its modes and the option.
    """
    found = {node.name: modes for node in graph.nodes if isinstance(node.op, Requantize) and (modes := _unverified(node.op))}
    if not found or allow_unverified_modes:
        return
    name, modes = next(iter(found.items()))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise ExportError(
        f"layer {name!r}{more} casts with {' and '.join(modes)}, which has not been checked with the vendor's own headers; use "
        f"{_named(ROUNDINGS)} with {_named(OVERFLOWS)}, or allow it (--allow-unverified-modes, allow_unverified_modes=True) and "
        "run the project's self-check with your Vitis: make selfcheck"
    )


def _unverified(op: Requantize) -> list[str]:
    return [mode.value for mode, known in ((op.rounding, ROUNDINGS), (op.overflow, OVERFLOWS)) if mode not in known]


def _named(modes: tuple[Rounding, ...] | tuple[Overflow, ...]) -> str:
    *first, last = (mode.value for mode in modes)
    return f"{', '.join(first)} or {last}"
