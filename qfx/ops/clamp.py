"""clamp: x limited to constant bounds, exact; ReLU6 and Hardtanh are clamps.

result = min(max(x, low * 2**-frac), high * 2**-frac)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape, align
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Clamp(Op):
    """Limits x (any shape).

    Attributes:
        low, high: codes of the bounds on the grid 2**-frac; None for no bound on that side.
        frac: of the bounds; the result has the finer of both grids.
    """

    low: int | None = None
    high: int | None = None
    frac: int = 0

    kind: ClassVar[str] = "clamp"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)

    def result_frac(self, x: Value) -> int:
        """The finer grid."""
        return max(x.type.frac, self.frac)

    def limits(self, x: Value) -> tuple[int, int]:
        """Least and greatest code of the result, on its grid."""
        up, bound_up = self.result_frac(x) - x.type.frac, self.result_frac(x) - self.frac
        low, high = x.type.min_int << up, x.type.max_int << up
        if self.low is not None:
            low, high = max(low, self.low << bound_up), max(high, self.low << bound_up)
        if self.high is not None:
            low, high = min(low, self.high << bound_up), min(high, self.high << bound_up)
        return low, high

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        (x,) = operands
        if self.low is not None and self.high is not None and self.low > self.high:
            raise GraphError(f"clamp: the lower bound {self.low} is above the upper bound {self.high}")
        return FixedType.for_range(*self.limits(x), self.result_frac(x)), x.shape

    def bound(self, operands: Sequence[Value]) -> int:
        (x,) = operands
        bounds = [abs(code) << (self.result_frac(x) - self.frac) for code in (self.low, self.high) if code is not None]
        return max(x.type.max_abs << (self.result_frac(x) - x.type.frac), *bounds, 0)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        (x,) = operands
        return np.clip(align(arrays[0], x.type.frac, self.result_frac(x)), *self.limits(x))

    def keeps_order(self, operands: Sequence[Value]) -> bool:
        return True

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost(additions=operands[0].size * sum(bound is not None for bound in (self.low, self.high)))

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        (x,) = operands
        low, high = self.limits(x)
        aligned = form.scale(form.operand(0), self.result_frac(x) - x.type.frac)
        return form.node(
            "Min", form.node("Max", aligned, form.constant(low, form.accumulator)), form.constant(high, form.accumulator)
        )

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 7, 3), (6, 3, 4))
        return (
            Sample("ReLU6: 6 is 3 * 2", cls(0, 3, -1), (x,)),
            Sample("Hardtanh, one side off the range", cls(-1, 100), (x,)),
            Sample("bounds on a finer grid", cls(-3, 21, 5), (x,)),
            Sample("only an upper bound, negative frac", cls(None, -1, -1), (activation("x", FixedType(True, 6, -3), (9,)),)),
            Sample("only a lower bound, unsigned", cls(low=1, frac=-1), (activation("x", FixedType(False, 4, 1), (9,)),)),
            Sample("beyond float32", cls(-5, 7, 20), (activation("x", FixedType(True, 20, 3), (9,)),)),
        )
