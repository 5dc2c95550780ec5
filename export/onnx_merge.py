"""Fewer passes for ONNX Runtime: a run of affine, relu and requantize in one step, for a model that gives outputs only.

    code = clip(floor((scale * x + offset) * 2**-s + 1/2), low, high)
         = clip(floor(x * (scale * 2**-s) + (offset * 2**-s + 1/2)), low, high)

is exact in the accumulator dtype of the widest node of the run: a power of two changes no digit, and
|scale * x + offset| + 2**(s-1) is counted in the bounds of affine and requantize (invariant 4). A relu before it raises `low` to 0,
since rounding keeps order and 0; from 0 on, floor is what a conversion to an integer does by itself. No op says such a step, so
that this is a form of the graph in ONNX and no pass over it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qfx.exact import FLOATS, accumulator_dtype
from qfx.fixed import Overflow, Rounding
from qfx.ir import Graph, Node
from qfx.ops import Affine, ReLU, Requantize
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.ranges import aligned_offsets, output_frac

Run = Sequence[Node]

_HALF = {Rounding.RND: 0.5, Rounding.TRN: 0.0}
"""What is added before the floor; other modes stay as they are."""


def runs(graph: Graph) -> list[Run]:
    """The nodes in order; what `run_form` can merge is one run, every other node a run by itself."""
    found: list[list[Node]] = []
    for node in graph.nodes:
        if found and _follows(graph, found[-1][-1], node):
            found[-1].append(node)
        else:
            found.append([node])
    return [run for item in found for run in ([item] if _merges(graph, item) else [[node] for node in item])]


def run_accumulator(graph: Graph, run: Run) -> str:
    """The accumulator dtype of the widest node."""
    return accumulator_dtype(max(node.op.bound(graph.operands(node)) for node in run))


def _follows(graph: Graph, before: Node, node: Node) -> bool:
    """Whether only `node` reads `before`, and they may stand in one run."""
    allowed = (isinstance(before.op, Affine) and isinstance(node.op, ReLU | Requantize)) or (
        isinstance(before.op, ReLU) and isinstance(node.op, Requantize)
    )
    return allowed and node.inputs[0] == before.name and len(graph.consumers(before.name)) == 1 and before.name not in graph.outputs


def _merges(graph: Graph, run: Run) -> bool:
    *_, last = run
    op = last.op
    if not isinstance(op, Requantize) or op.rounding not in _HALF or op.overflow is not Overflow.SAT:
        return False
    shift = graph.operands(last)[0].type.frac - op.type.frac
    return 0 < shift <= 100 and graph.operands(run[0])[0].constant is None and run_accumulator(graph, run) in FLOATS


def run_form(form: OnnxForm, graph: Graph, run: Run) -> str:
    """Append the ONNX nodes of a merged run to `form`, whose inputs are those of the first node; returns the result tensor."""
    last = run[-1]
    assert isinstance(last.op, Requantize)
    x, type = graph.operands(run[0])[0], last.op.type
    down = graph.operands(last)[0].type.frac - type.frac
    scale, offset = [1] * x.channels, [0] * x.channels
    if isinstance(run[0].op, Affine):
        _, factor, added = graph.operands(run[0])
        frac = output_frac(x, factor, added)
        scale = [int(code) << (frac - x.type.frac - factor.type.frac) for code in factor.codes]
        offset = aligned_offsets(added, frac, x.channels)
    factors = np.ldexp(np.array(scale, np.float64), -down)
    offsets = np.ldexp(np.array(offset, np.float64), -down) + _HALF[last.op.rounding]
    low = 0 if any(isinstance(node.op, ReLU) for node in run) else type.min_int
    return _clipped(form, _affine(form, factors, offsets, len(x.shape)), low, type.max_int)


def _affine(form: OnnxForm, scale: npt.NDArray[np.float64], offset: npt.NDArray[np.float64], rank: int) -> str:
    """scale * x + offset per channel: a batch normalisation of mean 0 and variance 1, which is one pass."""
    constants = [form.constant(array, form.accumulator) for array in (scale, offset, np.zeros_like(scale), np.ones_like(scale))]
    if rank > 1:
        return form.node("BatchNormalization", form.operand(0), *constants, attributes={"epsilon": 0.0})
    return form.node("Add", form.node("Mul", form.operand(0), constants[0]), constants[1])


def _clipped(form: OnnxForm, x: str, low: int, high: int) -> str:
    """clip(floor(x), low, high)."""
    if low == 0 and high < 256:
        x = form.node("Clip", x, form.constant(0, form.accumulator), form.constant(high + 0.5, form.accumulator))
        return form.cast(form.cast(x, "uint8"), "float32")
    x = form.node("Floor", x)
    return form.node("Clip", x, form.constant(low, form.accumulator), form.constant(high, form.accumulator))
