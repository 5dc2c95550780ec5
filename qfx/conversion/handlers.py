"""The handlers of all calls that conversion does not keep as they are, by the canonical name of the call."""

from __future__ import annotations

from collections.abc import Mapping

from qfx.conversion import activations, arithmetic, pools, weighted
from qfx.conversion.walk import Handler

HANDLERS: Mapping[str, Handler] = {**weighted.HANDLERS, **arithmetic.HANDLERS, **activations.HANDLERS, **pools.HANDLERS}
"""One for each row of `qfx.frontend.calls.table` that is `handled`; the others stay as they are, where they are exact."""
