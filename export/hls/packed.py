"""Weights of neighbouring outputs that share a DSP: which nodes can, and their tables."""

from __future__ import annotations

from qfx.export.cost.packing import Packing, best_packing
from qfx.fixed import IntArray
from qfx.ir import Graph, Node, Value
from qfx.ops import Conv2d, Linear


def node_packing(graph: Graph, node: Node, outputs: int) -> Packing | None:
    """The packing of a convolution's or linear layer's weights; None where the node has none or two products do not fit a DSP.

    Args:
        outputs: at once (PE).
    """
    if not isinstance(node.op, (Conv2d, Linear)) or node.op.digits is not None:
        return None
    x, weight = graph.operands(node)[:2]
    if getattr(node.op, "groups", 1) == weight.shape[0]:  # no two outputs read the same channels
        return None
    return weight_packing(x, weight, outputs)


def weight_packing(x: Value, weight: Value, outputs: int) -> Packing | None:
    """The packing with the most lanes that divide `outputs`, for the weights that there are."""
    codes = weight.codes
    ranges = (x.type.min_int, x.type.max_int), (int(codes.min()), int(codes.max()))
    return best_packing(x.type, *ranges, outputs=outputs)


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
