"""What a command ends with.

0: done, and all agreed. 1: a mismatch, or a target that was missed. 2: bad input or usage. 3: an engine or tool that was asked for
is not on this machine. 4: with `--strict`, files of a project that are not those of its manifest. 130: interrupted.
"""

from __future__ import annotations

from qfx.errors import AlteredError, ToolMissingError

AGREED, MISMATCH, BAD_INPUT, TOOL_MISSING, ALTERED, INTERRUPTED = 0, 1, 2, 3, 4, 130

EXIT_CODES: dict[type[Exception], int] = {ToolMissingError: TOOL_MISSING, AlteredError: ALTERED}
"""Error class -> exit code, for those that do not end with `BAD_INPUT`."""


def exit_code(error: Exception) -> int:
    """Of the command that this error ends."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), BAD_INPUT)
