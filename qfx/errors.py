"""Every error a user can meet, with the exit code its command ends with.

Messages say what was wrong, where (layer or value name), the number found, the limit, and what to do.
"""

from __future__ import annotations


class QfxError(Exception):
    """Base of all QFX errors a user can cause. The CLI prints the message without a traceback."""

    exit_code = 2


class FormatError(QfxError):
    """A number format, rounding or overflow mode that cannot exist or cannot be computed."""


class GraphError(QfxError):
    """A graph that is not well formed: unknown value, wrong shape, wrong type."""


class ExactnessError(QfxError):
    """No engine could compute a node exactly: its bound exceeds every accumulator."""


class QuantizationError(QfxError):
    """A quantizer asked for something it cannot give, or used before calibration."""


class LoweringError(QfxError):
    """A torch model contains something that has no fixed-point lowering."""


class ConfigError(QfxError):
    """A configuration with unknown or wrong entries."""


class ConversionError(QfxError):
    """A float model with parts that have no fixed-point twin; lists them all."""


class ExportError(QfxError):
    """A graph that cannot be written as an HLS project or an ONNX model."""


class ProjectError(QfxError):
    """A project or run directory that is missing, incomplete, of another version, or altered."""


class UsageError(QfxError):
    """A command-line argument or input file that does not fit."""


class EngineUnavailable(QfxError):
    """An engine or tool that was asked for is not on this machine."""

    exit_code = 3
