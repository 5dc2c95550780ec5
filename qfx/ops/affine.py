"""affine: an exact scale and offset per channel, what batch normalisation becomes, or one of each for all channels.

result[c, ...] = scale[c] * x[c, ...] + offset[c]
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
from qfx.ops.ranges import output_frac, sum_of_products_bound, sum_of_products_type
from qfx.ops.sampling import activation, constant, khot_constant


@dataclass(frozen=True)
class Affine(MultipliesByConstants):
    """Scale and offset, both (channel,) or both (1,), on x (channel, ...).

    Attributes:
        digits: scales have at most this many signed digits and are multiplied by shift-add; None for any scales.
    """

    digits: int | None = None

    kind: ClassVar[str] = "affine"
    operand_names: ClassVar[tuple[str, ...]] = ("x", "scale", "offset")
    constant_operands: ClassVar[frozenset[str]] = frozenset({"scale", "offset"})

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        x, scale, offset = operands
        for value in (scale, offset):
            if value.shape not in ((x.channels,), (1,)) or value.shape != scale.shape:
                raise GraphError(f"affine: {value.name!r} {value.shape} does not fit {x.channels} channels")
        check_digits(self.kind, scale, self.digits)
        return sum_of_products_type(scale.codes[:, None], x, scale, offset), x.shape

    def bound(self, operands: Sequence[Value]) -> int:
        x, scale, offset = operands
        return sum_of_products_bound(scale.codes[:, None], x, scale, offset)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        x, scale, offset = operands
        frac = output_frac(x, scale, offset)
        products = align(arrays[0] * channelwise(scale.codes, x), x.type.frac + scale.type.frac, frac)
        return products + align(channelwise(offset.codes, x), offset.type.frac, frac)

    def keeps_order(self, operands: Sequence[Value]) -> bool:
        return bool((operands[1].codes >= 0).all())

    def cost(self, operands: Sequence[Value]) -> Cost:
        x, scale, _ = operands
        if self.digits is None:
            return Cost(multiplications=x.size, additions=x.size)
        values_each = x.size // scale.size
        return Cost(shift_adds=int(signed_digits(scale.codes).sum()) * values_each, additions=x.size)

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        x, scale, offset = operands
        frac = output_frac(x, scale, offset)
        product = form.node("Mul", form.operand(0), form.constant(channelwise(scale.codes, x), form.accumulator))
        product = form.scale(product, frac - x.type.frac - scale.type.frac)
        added = form.constant(align(channelwise(offset.codes, x), offset.type.frac, frac), form.accumulator)
        return form.node("Add", product, added)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 14, 9), (6, 3, 5))
        scale = constant("s", FixedType(True, 8, 7), (6,), 1)
        khot = khot_constant("s", FixedType(True, 8, 10), (6,), 2, digits=2)
        offset = constant("o", FixedType(True, 8, 4), (6,), 3)
        fine = constant("o", FixedType(True, 9, 22), (6,), 4)
        wide = activation("x", FixedType(True, 24, 9), (6, 3, 5))
        flat = activation("x", FixedType(False, 8, 0), (10,))
        return (
            Sample("8-bit scale", cls(), (x, scale, offset)),
            Sample("2-hot scale, finer offset", cls(digits=2), (x, khot, fine)),
            Sample("beyond float32", cls(), (wide, scale, offset)),
            Sample(
                "features, negative frac",
                cls(),
                (flat, constant("s", FixedType(True, 5, -2), (10,), 5), constant("o", FixedType(True, 3, -3), (10,), 6)),
            ),
            Sample(
                "one scale and offset",
                cls(),
                (
                    x,
                    Value("s", FixedType(True, 6, 3), (1,), np.array([-27])),
                    Value("o", FixedType(True, 4, 2), (1,), np.array([7])),
                ),
            ),
            Sample(
                "one less x",
                cls(digits=1),
                (
                    flat,
                    Value("s", FixedType(True, 1, 0), (1,), np.array([-1])),
                    Value("o", FixedType(False, 1, 0), (1,), np.array([1])),
                ),
            ),
        )
