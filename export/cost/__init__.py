"""Resource usage of an accelerator, estimated; no tool of a vendor is run.

`Resources` are the sum; a `Datapath` is a piece of hardware with calibrated coefficients.
"""

from qfx.export.cost.arrays import MacArray, MultiplierArray
from qfx.export.cost.computing import (
    Accumulate,
    Add,
    AdderTree,
    Clamp,
    Maximum,
    Multiply,
    MultiplyKhot,
    Popcount,
    PReLU,
    ReLU,
    Requantize,
    dsp_blocks,
)
from qfx.export.cost.datapath import Datapath, coefficient_table
from qfx.export.cost.memory import block_rams, buffer, fifo, table
from qfx.export.cost.packing import Packing, best_packing, check_packing
from qfx.export.cost.resources import Resources, total
from qfx.export.cost.storage import Control, Converter, Fifo, LineBuffer, Rom

__all__ = [
    "Accumulate",
    "Add",
    "AdderTree",
    "Clamp",
    "Control",
    "Converter",
    "Datapath",
    "Fifo",
    "LineBuffer",
    "MacArray",
    "Maximum",
    "MultiplierArray",
    "Multiply",
    "MultiplyKhot",
    "PReLU",
    "Packing",
    "Popcount",
    "ReLU",
    "Requantize",
    "Resources",
    "Rom",
    "best_packing",
    "block_rams",
    "buffer",
    "check_packing",
    "coefficient_table",
    "dsp_blocks",
    "fifo",
    "table",
    "total",
]
