"""`qfx doctor`: what this machine has and lacks."""

from __future__ import annotations

from qfx.cli import console
from qfx.cli.exit_codes import AGREED, TOOL_MISSING
from qfx.diagnosis import doctor


def show_machine() -> int:
    """Print a line for each thing that QFX uses."""
    found = doctor()
    console.out().print(repr(found), markup=False, highlight=False, soft_wrap=True)
    return AGREED if found.complete else TOOL_MISSING
