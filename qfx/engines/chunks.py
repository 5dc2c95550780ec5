"""The outputs of a network for any number of samples, by the engine that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qfx.errors import InputError
from qfx.fixed import IntArray
from qfx.ir import Graph
from qfx.ir.passes.pool_first import pool_first
from qfx.sim.engine import checked_codes, chunk_size, simulate_chunks

if TYPE_CHECKING:
    from qfx.engines.onnx_engine import OnnxEngine


def output_chunks(
    graph: Graph, inputs: Mapping[str, npt.NDArray[np.integer]], engine: str = "sim", threads: int = 0
) -> Iterator[dict[str, IntArray]]:
    """Output codes, chunk by chunk, in order; memory stays bounded.

    Args:
        graph: the network.
        inputs: codes (samples, *shape) of every input; may be memory-mapped.
        engine: `sim`, or `onnx` for ONNX Runtime on a model whose affines, relus and requantizes are
            merged, max pools before them.
        threads: blocks of samples that are computed at a time; 0 for one per core.

    Raises:
        InputError: another engine, or inputs that do not fit the network.
        ToolMissingError: onnxruntime is not installed.
    """
    if engine == "sim":
        yield from simulate_chunks(graph, inputs, threads=threads)
    elif engine == "onnx":
        yield from _onnx(graph, inputs, threads)
    else:
        raise InputError(f"there is no engine {engine!r} for outputs; the engines are sim, onnx")


def fast_onnx_engine(graph: Graph, threads: int = 0) -> OnnxEngine:
    """ONNX Runtime on a model that gives the outputs only: element-wise ops merged, max pools before them."""
    from qfx.engines.onnx_engine import OnnxEngine
    from qfx.export.onnx import onnx_model

    model = onnx_model(pool_first(graph, graph.outputs), merged=True)
    return OnnxEngine(graph, model, threads, outputs_only=True)


def _onnx(graph: Graph, inputs: Mapping[str, npt.NDArray[np.integer]], threads: int) -> Iterator[dict[str, IntArray]]:
    runtime = fast_onnx_engine(graph, threads)
    step = chunk_size(graph, graph.outputs)
    for start in range(0, len(inputs[graph.inputs[0]]), step):
        part = {name: codes[start : start + step] for name, codes in inputs.items()}
        yield runtime.run(checked_codes(graph, part))
