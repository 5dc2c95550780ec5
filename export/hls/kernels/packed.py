"""Weights of neighbouring outputs that share a DSP: which operations can, and their tables."""

from __future__ import annotations

from functools import lru_cache

from qfx.errors import ExportError
from qfx.export.cost.packing import Packing, best_packing, check_packing
from qfx.export.hls.kernels.base import LANES, Header
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings, Storage
from qfx.fixed import FixedType, IntArray
from qfx.ops.base import Op

HEADER = Header("packed_multiply", "parts/packed_multiply", {}, (LANES,))
"""The header with the product."""

_best = lru_cache(maxsize=4096)(best_packing)


def packing_of(operation: Operation[Op], outputs: int) -> Packing | None:
    """The packing with the most lanes that divide `outputs`, for the weights that there are; None if two products do not fit a DSP.

    Args:
        outputs: at once (PE).
    """
    x: FixedType = operation.x.type
    return _best(x, (x.min_int, x.max_int), operation.factor_range, outputs=outputs)


def packed_rows(matrix: IntArray, outputs: int, packing: Packing) -> list[list[int]]:
    """The table of matrix_vector_packed: [output group, window word][lanes of outputs, code in the word].

    Args:
        matrix: codes (output, word of the window, code in the word).
        outputs: PE, of which the packing's lanes divide the number.
    """
    rows: list[list[int]] = []
    for first in range(0, matrix.shape[0], outputs):
        for position in range(matrix.shape[1]):
            row: list[int] = []
            for start in range(first, first + outputs, packing.lanes):
                for code in range(matrix.shape[2]):
                    row.append(packing.pack([int(matrix[start + lane, position, code]) for lane in range(packing.lanes)]))
            rows.append(row)
    return rows


def packed_table(settings: Settings, operation: Operation[Op], matrix: IntArray, outputs: int, storage: Storage) -> None:
    """Add weights of which several share a DSP, and what parts/packed_multiply wants to know.

    Args:
        matrix: codes (output, word of the window, code in the word).
        outputs: PE.

    Raises:
        ExportError: weights that cannot share one; names them.
    """
    weight, packing = operation.operands[1], packing_of(operation, outputs)
    if packing is None:
        raise ExportError(f"weights {weight.name!r} of {outputs} outputs at a time cannot share a DSP; fold them in another way")
    lowest, upper = packing.fields[0].width, packing.fields[-1].width
    lanes_width = packing.lanes * packing.lane_width
    rows = packed_rows(matrix, outputs, packing)
    terms = min(packing.accumulations, matrix.shape[2])
    check_packing(packing, terms, settings.name)
    settings.constant(lanes=packing.lanes, lane_width=packing.lane_width, terms=terms)
    settings.constant(lowest_width=lowest, field_width=upper, packed_width=packing.packed_width, weight_words=len(rows))
    settings.code("packed_entry", False, packing.stored_width)
    settings.code("lowest_field", True, lowest)
    settings.code("upper_field", True, upper)
    settings.code("lane_sum", True, packing.lane_width)
    settings.code("packed_lanes", False, lanes_width)
    settings.code("packed", True, packing.packed_width)
    settings.code("packed_product", True, packing.total_width)
    settings.code("packed_sum", True, max(lanes_width, packing.total_width))
    comment = (
        f"{weight.name}: {weight.type.ap_name}, [output group, window word][{packing.lanes} outputs an entry, code of the word];"
        f" lanes of {packing.lane_width} bits hold sums of at most {packing.accumulations} products"
    )
    settings.table("weight", rows, packing.stored_width, "packed_entry", comment, storage=storage)
