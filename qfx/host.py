"""Post-processing on the CPU, in float64 with NumPy: softmax, log-softmax, the greatest elements.

A network ends on the chip in integer codes, and up to there all engines agree in every bit. What follows is floating point: it
is computed here as a reference, and another implementation, such as torch's, agrees within rounding errors, not in every bit.

    softmax(x) = exp(x - max x) / sum exp(x - max x)        log_softmax(x) = x - max x - log sum exp(x - max x)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qfx.fixed import FixedType
from qfx.ir.graph import Graph
from qfx.ir.host_step import HostStep

Result = npt.NDArray[np.float64] | npt.NDArray[np.int64]


def names(graph: Graph) -> list[str]:
    """Of what `results` gives."""
    read = {step.source for step in graph.host}
    return [*(name for name in graph.outputs if name not in read), *(step.name for step in graph.host)]


def results(graph: Graph, outputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, Result]:
    """What the model returns, by name: the result of each step, and the real values of each output that no step reads.

    Args:
        outputs: codes (batch, *shape) of every output of the graph.

    Returns:
        float64 arrays (batch, ...); int64 for indices.
    """
    steps = {step.name: step for step in graph.host}
    found: dict[str, Result] = {}
    for name in names(graph):
        source = graph.values[steps[name].source if name in steps else name]
        codes = outputs[source.name]
        found[name] = apply(steps[name], codes, source.type) if name in steps else source.type.to_real(codes)
    return found


def apply(step: HostStep, codes: npt.NDArray[np.integer], type: FixedType) -> Result:
    """The step's result for codes (batch, *shape) of this format; of equal elements topk takes the first."""
    real, axis = type.to_real(codes), step.axis + 1
    if step.kind.startswith("topk"):
        ordered = np.argsort(-real if step.largest else real, axis=axis, kind="stable")
        indices: npt.NDArray[Any] = np.take(ordered, np.arange(step.count or 0), axis=axis)
        return indices.astype(np.int64) if step.kind == "topk_indices" else np.take_along_axis(real, indices, axis)
    below = real - real.max(axis=axis, keepdims=True)
    if step.kind == "log_softmax":
        return below - np.log(np.exp(below).sum(axis=axis, keepdims=True))
    exponentials = np.exp(below)
    return exponentials / exponentials.sum(axis=axis, keepdims=True)
