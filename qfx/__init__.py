"""QFX: fixed-point and multiplier-free networks from PyTorch to an FPGA, exact in every engine.

`import qfx` needs NumPy only, so that the simulator also runs on the board; the torch side is `qfx.nn`, `qfx.quant`,
`qfx.conversion` and `qfx.training`. `qfx.convert` and its configuration load it when they are used. The laws that docstrings refer
to by number stand in docs/architecture.md.
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

from qfx.errors import QfxError
from qfx.fixed import FixedType, Overflow, Rounding, cast

if TYPE_CHECKING:
    from qfx.conversion import ConvertConfig, InputFormat, convert

__all__ = [
    "ConvertConfig",
    "FixedType",
    "InputFormat",
    "Overflow",
    "QfxError",
    "Rounding",
    "__version__",
    "cast",
    "convert",
]
__version__ = "0.1.0"

_TORCH_SIDE = frozenset(("ConvertConfig", "InputFormat", "convert"))


def __getattr__(name: str) -> object:
    """Names that need torch, found when they are first used."""
    if name not in _TORCH_SIDE:
        raise AttributeError(f"module 'qfx' has no attribute {name!r}")
    return getattr(importlib.import_module("qfx.conversion"), name)
