"""linear: an exact matrix-vector product.

result[o] = bias[o] + sum over f of weight[o, f] * x[f]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.errors import GraphError
from qfx.exact import accumulator_dtype
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Sample, Shape, align, check_digits, signed_digits
from qfx.ops.multiplying import SumOfProducts
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.ranges import output_frac, sum_of_products_bound, sum_of_products_type
from qfx.ops.sampling import activation, constant, khot_constant


@dataclass(frozen=True)
class Linear(SumOfProducts):
    """Product of weight (out, feature) with x (feature,).

    Attributes:
        digits: weights have at most this many signed digits and are multiplied by shift-add; None for any weights.
    """

    digits: int | None = None

    kind: ClassVar[str] = "linear"
    operand_names: ClassVar[tuple[str, ...]] = ("x", "weight", "bias?")
    constant_operands: ClassVar[frozenset[str]] = frozenset({"weight", "bias"})

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        x, weight, bias = _split(operands)
        if len(x.shape) != 1 or len(weight.shape) != 2 or weight.shape[1] != x.shape[0]:
            raise GraphError(f"linear wants x (F,) and weight (O, F), not {x.shape} and {weight.shape}; flatten x first")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise GraphError(f"linear: bias {bias.shape} does not fit {weight.shape[0]} outputs")
        check_digits(self.kind, weight, self.digits)
        return sum_of_products_type(weight.codes, x, weight, bias), (weight.shape[0],)

    def bound(self, operands: Sequence[Value]) -> int:
        x, weight, bias = _split(operands)
        return sum_of_products_bound(weight.codes, x, weight, bias)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        x, weight, bias = _split(operands)
        dtype = np.dtype(accumulator_dtype(self.bound(operands)))
        products: IntArray = np.matmul(arrays[0].astype(dtype), np.swapaxes(weight.codes, 0, 1).astype(dtype)).astype(np.int64)
        frac = output_frac(x, weight, bias)
        total = align(products, x.type.frac + weight.type.frac, frac)
        return total if bias is None else total + align(bias.codes, bias.type.frac, frac)

    def cost(self, operands: Sequence[Value]) -> Cost:
        weight = operands[1]
        if self.digits is None:
            return Cost(multiplications=weight.size, additions=weight.size)
        return Cost(shift_adds=int(signed_digits(weight.codes).sum()))

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        x, weight, bias = _split(operands)
        frac = output_frac(x, weight, bias)
        result = form.node("MatMul", form.operand(0), form.constant(np.swapaxes(weight.codes, 0, 1), form.accumulator))
        result = form.scale(result, frac - x.type.frac - weight.type.frac)
        if bias is None:
            return result
        return form.node("Add", result, form.constant(align(bias.codes, bias.type.frac, frac), form.accumulator))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(False, 4, 4), (12,))
        weight = constant("w", FixedType(True, 8, 6), (5, 12), 1)
        bias = constant("b", FixedType(True, 5, -1), (5,), 2)
        wide = activation("x", FixedType(True, 16, 20), (24,))
        khot = khot_constant("w", FixedType(True, 6, -2), (5, 12), 4, digits=2)
        return (
            Sample("plain", cls(), (x, weight)),
            Sample("bias with negative frac", cls(), (x, weight, bias)),
            Sample("beyond float32", cls(), (wide, constant("w", FixedType(True, 12, 3), (8, 24), 3))),
            Sample("2-hot, negative frac", cls(digits=2), (x, khot, bias)),
            Sample("1-hot", cls(digits=1), (x, khot_constant("w", FixedType(True, 8, 7), (16, 12), 5, digits=1))),
        )


def _split(operands: Sequence[Value]) -> tuple[Value, Value, Value | None]:
    return operands[0], operands[1], operands[2] if len(operands) == 3 else None
