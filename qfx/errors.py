"""Every error a user can meet.

    QfxError
    ├── InputError (ValueError)     arguments and input files
    │   ├── FormatError             number formats, roundings, overflow modes
    │   ├── ConfigError             configurations
    │   └── StateError (RuntimeError)  state dicts, as torch has it
    ├── ModelError                  what a network is made of
    │   ├── ConversionError         float models
    │   ├── QuantizationError       quantizers
    │   ├── LoweringError           torch models on their way to a graph
    │   ├── GraphError              graphs
    │   └── ExactnessError          bounds that no engine can carry
    ├── ExportError                 what cannot be written for the hardware
    ├── ProjectError (OSError)      project and run directories
    │   └── AlteredError            files that are not those of the manifest, where that was asked for
    ├── WriteError (OSError)        files and directories that cannot be written
    ├── TrainingError               a training that cannot go on
    └── ToolMissingError            engines and tools that this machine lacks

    QfxWarning (UserWarning)        what QFX did that nobody asked for, such as putting back what a killed run had moved aside

Messages say what was wrong, where (layer or value name), the number found, the limit, and what to do. The command line prints them
without a traceback; `qfx.cli.exit_codes` has its exit codes.
"""

from __future__ import annotations


class QfxError(Exception):
    """Base of all QFX errors a user can cause."""


class InputError(QfxError, ValueError):
    """An argument or an input file that does not fit."""


class FormatError(InputError):
    """A number format, rounding or overflow mode that cannot exist or cannot be computed."""


class ConfigError(InputError):
    """A configuration with unknown or wrong entries."""


class StateError(InputError, RuntimeError):
    """A state dict that does not fit its network: other formats, sizes or names; a RuntimeError, as torch raises."""


class ModelError(QfxError):
    """A model, or the graph made of it, that cannot be computed in fixed point as it is."""


class ConversionError(ModelError):
    """A float model with parts that have no quantized counterpart; lists them all."""


class QuantizationError(ModelError):
    """A quantizer asked for something it cannot give, or used before calibration."""


class LoweringError(ModelError):
    """A torch model contains something that has no fixed-point lowering."""


class GraphError(ModelError):
    """A graph that is not well formed: unknown value, wrong shape, wrong type."""


class ExactnessError(ModelError):
    """No engine could compute a node exactly: its bound exceeds every accumulator dtype."""


class ExportError(QfxError):
    """A graph that cannot be written as an HLS project or an ONNX model."""


class ProjectError(QfxError, OSError):
    """A project or run directory that is missing, incomplete, of another version, or altered."""


class WriteError(QfxError, OSError):
    """A file or directory that cannot be written: a full disk, a limit, a folder that is missing or may not be written to."""


class AlteredError(ProjectError):
    """A project whose files are not those of its manifest, where exactly these were asked for."""


class TrainingError(QfxError):
    """A training that cannot go on: its loss is no longer finite."""


class ToolMissingError(QfxError):
    """An engine or tool that was asked for is not on this machine."""


class QfxWarning(UserWarning):
    """What QFX did that nobody asked for; the command line prints it as a note."""
