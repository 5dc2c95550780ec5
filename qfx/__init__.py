"""QFX: fixed-point and multiplier-free networks from PyTorch to an FPGA, exact in every engine.

`import qfx` needs NumPy only, so that the simulator also runs on the board; the torch side is `qfx.nn`,
`qfx.quant` and `qfx.training`. The laws that docstrings refer to by number stand in docs/architecture.md.
"""

from qfx.errors import QfxError
from qfx.fixed import FixedType, Overflow, Rounding, cast

__all__ = ["FixedType", "Overflow", "QfxError", "Rounding", "__version__", "cast"]
__version__ = "0.1.0"
