"""The kernels of `hls_templates/kernels`, one object each: everything that the exporter knows of them.

A new one is a class in a module of its own in this folder, which is found there; `kernel_class` finds it by its op.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any, cast

from qfx.errors import ExportError
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.base import Kernel
from qfx.export.hls.kernels.op import OpKernel
from qfx.export.hls.operation import Operation
from qfx.ops.base import Op


def _kernels() -> tuple[type[Kernel], ...]:
    """Every class of this folder that names the functions it can be, by name."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    classes = {kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, Kernel)}
    return tuple(sorted((kind for kind in classes if "functions" in vars(kind)), key=lambda kind: kind.__name__))


KERNELS = _kernels()
"""All of them."""

OP_KERNELS = tuple(cast("type[OpKernel[Any]]", kind) for kind in KERNELS if issubclass(kind, OpKernel))
"""Those of ops."""

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
