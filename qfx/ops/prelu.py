"""prelu: a learned slope per channel on the negative side, exact.

result[c, ...] = x[c, ...]              where x >= 0
                 slope[c] * x[c, ...]   elsewhere
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Sample, Shape, align, channelwise, check_digits, signed_digits
from qfx.ops.multiplying import MultipliesByConstants
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.ranges import max_abs
from qfx.ops.sampling import activation, constant, khot_constant


@dataclass(frozen=True)
class PReLU(MultipliesByConstants):
    """Parametric ReLU with slope (channel,) on x (channel, ...).

    Attributes:
        digits: slopes have at most this many signed digits and are multiplied by shift-add; None for any slopes.
    """

    digits: int | None = None

    kind: ClassVar[str] = "prelu"
    operand_names: ClassVar[tuple[str, ...]] = ("x", "slope")
    constant_operands: ClassVar[frozenset[str]] = frozenset({"slope"})

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        x, slope = operands
        if slope.shape != (x.channels,):
            raise GraphError(f"prelu: slope {slope.shape} does not fit {x.channels} channels")
        check_digits(self.kind, slope, self.digits)
        frac = _frac(x, slope)
        products = [int(code) * x.type.min_int << (frac - x.type.frac - slope.type.frac) for code in slope.codes]
        high = max(x.type.max_int << (frac - x.type.frac), *products)
        return FixedType.for_range(min(0, *products), high, frac), x.shape

    def bound(self, operands: Sequence[Value]) -> int:
        x, slope = operands
        frac = _frac(x, slope)
        product = x.type.max_abs * max_abs(slope.codes) << (frac - x.type.frac - slope.type.frac)
        return max(product, x.type.max_abs << (frac - x.type.frac), max_abs(slope.codes))

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        x, slope = operands
        frac = _frac(x, slope)
        negative = align(arrays[0] * channelwise(slope.codes, x), x.type.frac + slope.type.frac, frac)
        return np.where(arrays[0] >= 0, align(arrays[0], x.type.frac, frac), negative)

    def cost(self, operands: Sequence[Value]) -> Cost:
        x, slope = operands
        if self.digits is None:
            return Cost(multiplications=x.size, additions=x.size)
        return Cost(shift_adds=int(signed_digits(slope.codes).sum()) * (x.size // x.channels), additions=x.size)

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        x, slope = operands
        frac = _frac(x, slope)
        zero = form.constant(0, form.accumulator)
        positive = form.scale(form.node("Max", form.operand(0), zero), frac - x.type.frac)
        negative = form.node("Min", form.operand(0), zero)
        product = form.node("Mul", negative, form.constant(channelwise(slope.codes, x), form.accumulator))
        return form.node("Add", positive, form.scale(product, frac - x.type.frac - slope.type.frac))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 6, 3), (6, 3, 4))
        return (
            Sample("8-bit slope", cls(), (x, constant("s", FixedType(True, 8, 7), (6,), 1))),
            Sample("2-hot slope", cls(digits=2), (x, khot_constant("s", FixedType(True, 8, 9), (6,), 2, digits=2))),
            Sample("slope with negative frac", cls(), (x, constant("s", FixedType(True, 3, -2), (6,), 3))),
            Sample(
                "features, beyond float32",
                cls(),
                (activation("x", FixedType(True, 20, 3), (7,)), constant("s", FixedType(True, 8, 7), (7,), 4)),
            ),
            Sample(
                "unsigned input",
                cls(),
                (activation("x", FixedType(False, 5, 1), (4,)), constant("s", FixedType(True, 4, 1), (4,), 5)),
            ),
        )


def _frac(x: Value, slope: Value) -> int:
    """The finer of the two branches' grids."""
    return max(x.type.frac, x.type.frac + slope.type.frac)
