"""From the nodes of a graph and their folds to the stages that costs see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from qfx.export.cost.packing import Packing
from qfx.export.cost.resources import Resources
from qfx.export.cost.shape import Fold as Lanes
from qfx.export.cost.shape import StageShape, elementwise
from qfx.export.cost.stage import cost
from qfx.export.hls.cycles import image_shape
from qfx.export.hls.folding import Fold, is_depthwise
from qfx.export.hls.geometry import plan_ring, window_of
from qfx.export.hls.packed import node_packing
from qfx.export.hls.tables import khot_forms
from qfx.fixed import FixedType
from qfx.ir import Graph, Node, Value
from qfx.ops import Add, Affine, AvgPool2d, Clamp, Conv2d, Linear, Lookup, MaxPool2d, Multiply, PReLU, ReLU, Requantize
from qfx.ops.base import Op

T = TypeVar("T", bound=Op)
Fields = dict[str, Any]


class NodeCosts:
    """The stages of a graph's nodes under any fold; what constants say is looked up once.

    Args:
        graph: a verified graph.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._khot: dict[str, Fields] = {}
        self._packings: dict[tuple[str, int], Packing | None] = {}
        self._known: dict[StageShape, Resources] = {}

    def __call__(self, node: Node, fold: Fold) -> Resources:
        """What the node's stages take, with a FIFO of two words behind them, by the model."""
        shape = replace(self.shape(node, fold), name="")  # equal layers of a network cost the same
        if shape not in self._known:
            self._known[shape] = cost(shape)
        return self._known[shape]

    def shape(self, node: Node, fold: Fold) -> StageShape:
        """The node's stage; ops that only move words are a `copy`."""
        return SHAPES.get(type(node.op), _copy)(self, node, fold)

    def operands(self, node: Node) -> tuple[Value, Value]:
        """First operand and result."""
        return self.graph.operands(node)[0], self.graph.values[node.name]

    def formats(self, node: Node) -> Fields:
        """Of the first operand and the result."""
        x, out = self.operands(node)
        return {"x_width": x.type.width, "x_signed": x.type.signed, "result_width": out.type.width}

    def product(self, node: Node, fold: Fold) -> Fields:
        """How the node multiplies by its constants."""
        weight = self.graph.operands(node)[1]
        storage: Fields = {"storage": fold.storage or "auto"}
        if fold.product == "khot" or node.op.digits is not None:  # type: ignore[attr-defined]
            if weight.name not in self._khot:
                _, digits, _, shift_bits = khot_forms(weight)
                self._khot[weight.name] = {"multiplier": "khot", "digits": digits, "shift_bits": shift_bits}
            return self._khot[weight.name] | storage | {"weight_width": weight.type.width}
        found: Fields = {"multiplier": "lut" if fold.product == "lut" else "dsp", "weight_width": weight.type.width} | storage
        if fold.product == "packed":
            key = (node.name, fold.writes)
            if key not in self._packings:
                self._packings[key] = node_packing(self.graph, node, fold.writes)
            found["packing"] = self._packings[key]
        return found

    def bias_width(self, node: Node) -> int:
        """Bits of the bias or offset; 0 if there is none."""
        operands = self.graph.operands(node)
        return operands[2].type.width if len(operands) == 3 else 0


Build = Callable[[NodeCosts, Node, Fold], StageShape]
SHAPES: dict[type[Op], Build] = {}


def shape_of(*ops: type[Op]) -> Callable[[Build], Build]:
    """Register what makes the stage of some ops."""

    def register(build: Build) -> Build:
        SHAPES.update(dict.fromkeys(ops, build))
        return build

    return register


def _alone(kind: str, costs: NodeCosts, node: Node, fold: Fold, **more: Any) -> StageShape:
    """A stage that keeps channels and pixels apart."""
    channels, *size = image_shape(costs.operands(node)[1].shape)
    lanes = _lanes(fold, channels)
    return elementwise(node.name, kind, channels, (size[0], size[1]), lanes, **costs.formats(node), **more)  # type: ignore[arg-type]


def _lanes(fold: Fold, channels: int, inputs: int = 1) -> Lanes:
    """The fold as costs see it: channels and pixels apart."""
    return Lanes(min(fold.writes, channels), inputs, fold.taps, fold.pixels(channels))


def _copy(costs: NodeCosts, node: Node, fold: Fold) -> StageShape:
    return _alone("copy", costs, node, fold)


@shape_of(ReLU, Lookup)
def _plain(costs: NodeCosts, node: Node, fold: Fold) -> StageShape:
    return _alone(node.op.kind, costs, node, fold)


@shape_of(Conv2d)
def _conv2d(costs: NodeCosts, node: Node, fold: Fold) -> StageShape:
    weight = costs.graph.operands(node)[1]
    lanes = _lanes(fold, weight.shape[0], 1 if is_depthwise(costs.graph, node) else min(fold.reads[0], weight.shape[1]))
    groups = int(node.op.groups)  # type: ignore[attr-defined]
    more = costs.product(node, fold)
    return _windowed(costs, node, lanes, groups, fold, **more, bias_width=costs.bias_width(node))


@shape_of(MaxPool2d, AvgPool2d)
def _pool(costs: NodeCosts, node: Node, fold: Fold) -> StageShape:
    reciprocal: FixedType | None = getattr(node.op, "reciprocal", None)
    more: Fields = {"weight_width": reciprocal.width if reciprocal else 0}
    channels, *_ = costs.operands(node)[0].shape
    return _windowed(costs, node, _lanes(fold, int(channels)), int(channels), fold, **more)


def _windowed(costs: NodeCosts, node: Node, lanes: Lanes, groups: int, fold: Fold, **more: Any) -> StageShape:
    window = window_of(costs.graph, node)
    assert window is not None
    x, out = costs.operands(node)
    (in_channels, *in_size), (out_channels, *out_size) = image_shape(x.shape), image_shape(out.shape)
    geometry: Fields = {"kernel": window.kernel, "stride": window.stride, "padding": window.padding, "groups": groups}
    if window.taps > 1:
        geometry["rows_kept"] = plan_ring(window, in_size[0], in_size[1] * in_channels // fold.reads[0], out_size[0]).lines
    return StageShape(
        node.name,
        node.op.kind,  # type: ignore[arg-type]
        in_channels,
        (in_size[0], in_size[1]),
        out_channels,
        (out_size[0], out_size[1]),
        lanes,
        accumulator_width=out.type.width,
        input_lanes=fold.reads[0],
        **geometry,
        **costs.formats(node),
        **more,
    )


@shape_of(Linear)
def _linear(costs: NodeCosts, node: Node, fold: Fold) -> StageShape:
    x, out = costs.operands(node)
    lanes = Lanes(fold.writes, fold.reads[0])
    more: Fields = costs.formats(node) | costs.product(node, fold) | {"accumulator_width": out.type.width}
    more["bias_width"] = costs.bias_width(node)
    return StageShape(node.name, "linear", x.size, (1, 1), out.size, (1, 1), lanes, **more)


@shape_of(Affine)
def _affine(costs: NodeCosts, node: Node, fold: Fold) -> StageShape:
    x, out = costs.operands(node)
    shift = out.type.frac - x.type.frac - costs.graph.operands(node)[1].type.frac
    return _alone("affine", costs, node, fold, bias_width=costs.bias_width(node), shift=shift, **costs.product(node, fold))


@shape_of(PReLU)
def _prelu(costs: NodeCosts, node: Node, fold: Fold) -> StageShape:
    slope = costs.graph.operands(node)[1]
    return _alone("prelu", costs, node, fold, shift=max(0, slope.type.frac), **costs.product(node, fold))


@shape_of(Add, Multiply)
def _two(costs: NodeCosts, node: Node, fold: Fold) -> StageShape:
    a, b = costs.graph.operands(node)
    more: Fields = {"shift": abs(a.type.frac - b.type.frac)} if isinstance(node.op, Add) else {"multiplier": "dsp"}
    return _alone(node.op.kind, costs, node, fold, y_width=b.type.width, **more)


@shape_of(Requantize)
def _requantize(costs: NodeCosts, node: Node, fold: Fold) -> StageShape:
    x, out = costs.operands(node)
    op: Requantize = node.op  # type: ignore[assignment]
    dropped = x.type.frac - out.type.frac
    more: Fields = {"dropped": dropped, "rounding": op.rounding, "overflow": op.overflow, "target_signed": out.type.signed}
    return _alone("requantize", costs, node, fold, **more)


@shape_of(Clamp)
def _clamp(costs: NodeCosts, node: Node, fold: Fold) -> StageShape:
    op: Clamp = node.op  # type: ignore[assignment]
    return _alone("clamp", costs, node, fold, bounds=op.limits(costs.operands(node)[0]))
