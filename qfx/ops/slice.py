"""slice: a part of each axis, with a step; what split and chunk give several of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Slice(Op):
    """`x[starts[0]:stops[0]:steps[0], ...]`, every axis of x (any shape) stated.

    Attributes:
        starts, stops: per axis, 0 <= start < stop <= extent.
        steps: per axis, 1 or more.
    """

    starts: Shape
    stops: Shape
    steps: Shape

    kind: ClassVar[str] = "slice"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        axes = len(x.shape)
        if not len(self.starts) == len(self.stops) == len(self.steps) == axes:
            raise GraphError(f"slice: x {x.shape} has {axes} axes; starts, stops and steps state {len(self.starts)}")
        for axis, (start, stop, step, extent) in enumerate(zip(self.starts, self.stops, self.steps, x.shape, strict=True)):
            if not (0 <= start < stop <= extent and step >= 1):
                raise GraphError(f"slice: {start}:{stop}:{step} selects nothing of axis {axis} of extent {extent}")
        return x.type, tuple(-(-(b - a) // s) for a, b, s in zip(self.starts, self.stops, self.steps, strict=True))

    def bound(self, operands: Sequence[Value]) -> int:
        return operands[0].type.max_abs

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        parts = (slice(a, b, s) for a, b, s in zip(self.starts, self.stops, self.steps, strict=True))
        return arrays[0][(slice(None), *parts)]

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost()

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        axes = [axis + 1 for axis in range(len(self.starts))]
        ends = (form.constant(list(codes), "int64") for codes in (self.starts, self.stops, axes, self.steps))
        return form.node("Slice", form.operand(0), *ends)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 5, 3), (12, 5, 4))
        return (
            Sample("channels", cls((3, 0, 0), (9, 5, 4), (1, 1, 1)), (x,)),
            Sample("odd channels and a border", cls((1, 1, 0), (8, 4, 3), (1, 1, 1)), (x,)),
            Sample("steps", cls((1, 0, 1), (12, 5, 4), (5, 2, 2)), (x,)),
            Sample("features", cls((2,), (9,), (3,)), (activation("x", FixedType(False, 4, 9), (10,)),)),
            Sample("beyond float32", cls((1,), (3,), (1,)), (activation("x", FixedType(True, 27, 3), (6,)),)),
        )
