"""QFX: fixed-point and multiplier-free networks from PyTorch to an FPGA, exact in every engine.

The way of a network, each step a function of this module:

    convert         a float model in plain torch becomes a network of qfx.nn layers, calibrated
    calibrate       binary points from data
    fit             training, of a converted network or of one made of qfx.nn layers
    lower           the network as a graph of integer operations
    accelerate      the graph on a board: folding, schedule, resources, estimated
    write_project   a directory with the C++, the ONNX model and golden vectors
    open            such a directory, checked
    simulate        outputs for integer inputs, exact to the bit
    verify          all engines side by side, at every value of every layer
    save, load      a trained network in a file, without pickle
    doctor          what this machine has and lacks

Packages: nn, quant, training, models, ir, ops, testing; errors has every error. What these and this module name is public; every
other module is private, and may change without notice.

`import qfx` needs NumPy only, so that the simulator also runs on the board. Whatever needs torch is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if (_link := Path(__file__).parent / "export").is_file():
    raise ImportError(
        f"{_link} is a text file where a link to the folder ../export should be: this copy of QFX was made without symbolic links,"
        " as some programs unpack zip archives and as git does on Windows by default; install a wheel or a source distribution, or"
        " clone with `git clone -c core.symlinks=true`"
    )

from qfx import errors
from qfx._version import __version__
from qfx.errors import QfxError
from qfx.fixed import FixedType, Overflow, Rounding, cast

if TYPE_CHECKING:
    from qfx import ir, models, nn, ops, quant, testing, training
    from qfx.conversion import ConvertConfig, Converted, Formats, InputFormat, calibrate, convert
    from qfx.diagnosis import Diagnosis, doctor
    from qfx.engines.report import Report
    from qfx.export.accelerator import Accelerator, AcceleratorOptions, accelerate
    from qfx.frontend import lower
    from qfx.ir import Graph
    from qfx.project import Project, verify, write_project
    from qfx.project import open_project as open
    from qfx.quant import QuantSpec
    from qfx.saving import load, save
    from qfx.simulation import simulate
    from qfx.training import History, Recipe, fit

__all__ = [
    "Accelerator",
    "AcceleratorOptions",
    "ConvertConfig",
    "Converted",
    "Diagnosis",
    "FixedType",
    "Formats",
    "Graph",
    "History",
    "InputFormat",
    "Overflow",
    "Project",
    "QfxError",
    "QuantSpec",
    "Recipe",
    "Report",
    "Rounding",
    "__version__",
    "accelerate",
    "calibrate",
    "cast",
    "convert",
    "doctor",
    "errors",
    "fit",
    "ir",
    "load",
    "lower",
    "models",
    "nn",
    "open",
    "ops",
    "quant",
    "save",
    "simulate",
    "testing",
    "training",
    "verify",
    "write_project",
]

_PACKAGES = ("ir", "models", "nn", "ops", "quant", "testing", "training")

_NAMES = {
    "qfx.conversion": ("ConvertConfig", "Converted", "Formats", "InputFormat", "calibrate", "convert"),
    "qfx.diagnosis": ("Diagnosis", "doctor"),
    "qfx.engines.report": ("Report",),
    "qfx.export.accelerator": ("Accelerator", "AcceleratorOptions", "accelerate"),
    "qfx.frontend": ("lower",),
    "qfx.ir": ("Graph",),
    "qfx.project": ("Project", "verify", "write_project"),
    "qfx.quant": ("QuantSpec",),
    "qfx.saving": ("load", "save"),
    "qfx.simulation": ("simulate",),
    "qfx.training": ("History", "Recipe", "fit"),
}
"""Module -> what of it stands here."""

_HOMES = {"open": ("qfx.project", "open_project")} | {name: (home, name) for home, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Packages, and names that need more than NumPy, found when they are first used."""
    if name in _PACKAGES:
        return importlib.import_module(f"qfx.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'qfx' has no attribute {name!r}")
    home, own = _HOMES[name]
    globals()[name] = found = getattr(importlib.import_module(home), own)
    return found


def __dir__() -> list[str]:
    """All that is public, loaded or not; of what happens to be loaded nothing else."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
