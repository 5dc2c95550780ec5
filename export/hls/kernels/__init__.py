"""The kernels of `hls_templates/kernels`, one object each: everything that the exporter knows of them.

A new one is a class in a file of its own, named in the list below; `kernel_class` finds it by its op.
"""

from __future__ import annotations

from typing import Any

from qfx.errors import ExportError
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.add import Add
from qfx.export.hls.kernels.affine import Affine
from qfx.export.hls.kernels.argmax import ArgMax
from qfx.export.hls.kernels.avg_pool2d import AvgPool2d
from qfx.export.hls.kernels.axi import AxiIn, AxiOut
from qfx.export.hls.kernels.base import Kernel
from qfx.export.hls.kernels.clamp import Clamp
from qfx.export.hls.kernels.concat import Concat
from qfx.export.hls.kernels.conv2d import Conv2d, DepthwiseConv2d
from qfx.export.hls.kernels.convert import Convert
from qfx.export.hls.kernels.fork import Fork
from qfx.export.hls.kernels.linear import Linear
from qfx.export.hls.kernels.lookup import Lookup
from qfx.export.hls.kernels.max_pool2d import MaxPool2d
from qfx.export.hls.kernels.multiply import Multiply
from qfx.export.hls.kernels.op import OpKernel
from qfx.export.hls.kernels.pad import Pad
from qfx.export.hls.kernels.prelu import PReLU
from qfx.export.hls.kernels.rearrange import Rearrange
from qfx.export.hls.kernels.relu import ReLU
from qfx.export.hls.kernels.requantize import Requantize
from qfx.export.hls.kernels.reshape import Reshape
from qfx.export.hls.kernels.shift import Shift
from qfx.export.hls.kernels.slice import Slice
from qfx.export.hls.kernels.sliding_window import PickPixels, SlidingColumns, SlidingPixels, SlidingTaps, SlidingWords
from qfx.export.hls.kernels.upsample import Upsample
from qfx.export.hls.operation import Operation
from qfx.ops.base import Op

OP_KERNELS: tuple[type[OpKernel[Any]], ...] = (
    Add,
    Affine,
    ArgMax,
    AvgPool2d,
    Clamp,
    Concat,
    Conv2d,
    DepthwiseConv2d,
    Linear,
    Lookup,
    MaxPool2d,
    Multiply,
    Pad,
    PReLU,
    Rearrange,
    ReLU,
    Requantize,
    Reshape,
    Shift,
    Slice,
    Upsample,
)
"""Kernels of ops, by name."""

KERNELS: tuple[type[Kernel], ...] = (
    *OP_KERNELS,
    *(AxiIn, AxiOut, Convert, Fork, PickPixels, SlidingColumns, SlidingPixels, SlidingTaps, SlidingWords),
)
"""All of them."""

SERVED = frozenset(kernel.serves for kernel in OP_KERNELS)
"""Ops that have a kernel."""


def kernel_class(operation: Operation[Op]) -> type[OpKernel[Any]]:
    """The kernel of an operation.

    Raises:
        ExportError: an op that has none; names the node and what there is.
    """
    for kernel in OP_KERNELS:
        if kernel.serves is type(operation.op) and kernel.fits(operation):
            return kernel
    known = ", ".join(sorted({kernel.kind for kernel in OP_KERNELS if kernel.functions}))
    raise ExportError(f"node {operation.name!r}: the HLS export has no kernel for {operation.op.kind}; it has {known}")


def kernel_of(operation: Operation[Op], fold: Fold) -> OpKernel[Any]:
    """The kernel of an operation under a fold.

    Raises:
        ExportError: an op that has none.
    """
    return kernel_class(operation)(operation, fold)


__all__ = ["KERNELS", "OP_KERNELS", "SERVED", "Kernel", "OpKernel", "kernel_class", "kernel_of"]
