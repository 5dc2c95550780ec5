"""requantize: into another format, with a rounding and an overflow mode. Loses information.

result = overflow(round(x * 2**(target frac - source frac)))      (ap_fixed assignment, UG1399)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from qfx.errors import FormatError, GraphError
from qfx.fixed import FixedType, IntArray, Overflow, Rounding, cast, check_overflow
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import activation


@dataclass(frozen=True)
class Requantize(Op):
    """Cast x (any shape) to `type`.

    Attributes:
        type: format of the result.
        rounding: which neighbour on a coarser grid.
        overflow: what becomes of values outside the range.
    """

    type: FixedType
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT

    kind: ClassVar[str] = "requantize"
    operand_names: ClassVar[tuple[str, ...]] = ("x",)
    lossy: ClassVar[bool] = True

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        try:
            check_overflow(self.overflow, self.type.signed)
        except FormatError as error:
            raise GraphError(f"requantize to {self.type.ap_name}: {error}") from error
        return self.type, operands[0].shape

    def bound(self, operands: Sequence[Value]) -> int:
        (x,) = operands
        shift = x.type.frac - self.type.frac
        finest = x.type.max_abs + (1 << (shift - 1) if shift > 0 else 0)
        return max(finest, x.type.max_abs << max(-shift, 0), self.type.max_abs + 1)

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        return cast(arrays[0], operands[0].type, self.type, self.rounding, self.overflow)

    def keeps_order(self, operands: Sequence[Value]) -> bool:
        return self.overflow in (Overflow.SAT, Overflow.SAT_SYM)

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost(additions=operands[0].size)

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        (x,) = operands
        shift = x.type.frac - self.type.frac
        scaled = form.scale(form.operand(0), -shift)
        rounded = _ROUND[self.rounding](form, scaled) if shift > 0 else scaled
        if self.overflow is Overflow.WRAP_SM:
            return _wrap_sign_magnitude(form, rounded, scaled, self.type)
        return _OVERFLOW[self.overflow](form, rounded, self.type)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 12, 7), (6, 5, 5))
        u = activation("x", FixedType(False, 11, 9), (40,))
        s6, u4 = FixedType(True, 6, 3), FixedType(False, 4, 2)
        modes = tuple(
            Sample(f"{rounding.name}, {overflow.name}, to {target.ap_name}", cls(target, rounding, overflow), (x,))
            for rounding in (Rounding.TRN, Rounding.RND, Rounding.RND_CONV)
            for overflow in (Overflow.WRAP, Overflow.SAT)
            for target in (s6, u4)
        )
        others = tuple(Sample(f"{rounding.name}", cls(s6, rounding), (x,)) for rounding in Rounding)
        return (
            *modes,
            *others,
            Sample("SAT_ZERO", cls(s6, Rounding.RND, Overflow.SAT_ZERO), (x,)),
            Sample("SAT_SYM", cls(s6, Rounding.RND, Overflow.SAT_SYM), (x,)),
            *(Sample(f"{rounding.name}, WRAP_SM", cls(s6, rounding, Overflow.WRAP_SM), (x,)) for rounding in Rounding),
            Sample("WRAP_SM of unsigned codes", cls(FixedType(True, 5, 4), overflow=Overflow.WRAP_SM), (u,)),
            Sample("WRAP_SM to one bit", cls(FixedType(True, 1, 1), overflow=Overflow.WRAP_SM), (x,)),
            Sample("finer grid, WRAP_SM", cls(FixedType(True, 11, 10), overflow=Overflow.WRAP_SM), (x,)),
            Sample("finer grid, saturating", cls(FixedType(True, 12, 10)), (x,)),
            Sample("finer grid, wrapping", cls(FixedType(False, 10, 9), overflow=Overflow.WRAP), (x,)),
            Sample("unsigned source to signed", cls(FixedType(True, 6, 3)), (u,)),
            Sample("to one signed bit", cls(FixedType(True, 1, 0)), (x,)),
            Sample("to one unsigned bit, frac above width", cls(FixedType(False, 1, 3)), (u,)),
            Sample("all bits below the new grid", cls(FixedType(True, 3, -8)), (x,)),
            Sample("beyond float32", cls(FixedType(True, 8, 4)), (activation("x", FixedType(True, 34, 26), (50,)),)),
        )


def _floor_half(form: OnnxForm, x: str) -> str:
    return form.node("Floor", form.node("Add", x, form.constant(0.5, form.accumulator)))


def _ceil_half(form: OnnxForm, x: str) -> str:
    return form.node("Ceil", form.node("Sub", x, form.constant(0.5, form.accumulator)))


def _by_magnitude(inner: Callable[[OnnxForm, str], str]) -> Callable[[OnnxForm, str], str]:
    def rounded(form: OnnxForm, x: str) -> str:
        return form.node("Mul", form.node("Sign", x), inner(form, form.node("Abs", x)))

    return rounded


_ROUND: dict[Rounding, Callable[[OnnxForm, str], str]] = {
    Rounding.TRN: lambda form, x: form.node("Floor", x),
    Rounding.TRN_ZERO: _by_magnitude(lambda form, x: form.node("Floor", x)),
    Rounding.RND: _floor_half,
    Rounding.RND_ZERO: _by_magnitude(_ceil_half),
    Rounding.RND_INF: _by_magnitude(_floor_half),
    Rounding.RND_MIN_INF: _ceil_half,
    Rounding.RND_CONV: lambda form, x: form.node("Round", x),
}


def _clip(form: OnnxForm, x: str, low: int, high: int) -> str:
    return form.node("Min", form.node("Max", x, form.constant(low, form.accumulator)), form.constant(high, form.accumulator))


def _saturate(form: OnnxForm, x: str, target: FixedType) -> str:
    return _clip(form, x, target.min_int, target.max_int)


def _saturate_symmetric(form: OnnxForm, x: str, target: FixedType) -> str:
    low = -target.max_int if target.width > 1 else target.min_int
    return _clip(form, x, low if target.signed else 0, target.max_int)


def _saturate_zero(form: OnnxForm, x: str, target: FixedType) -> str:
    inside = form.node("Equal", x, _saturate(form, x, target), dtype="bool")
    return form.node("Where", inside, x, form.constant(0, form.accumulator), dtype=form.accumulator)


def _wrap(form: OnnxForm, x: str, target: FixedType) -> str:
    low = form.constant(target.min_int, form.accumulator)
    turns = form.node("Floor", form.scale(form.node("Sub", x, low), -target.width))
    return form.node("Sub", x, form.scale(turns, target.width))


def _wrap_sign_magnitude(form: OnnxForm, rounded: str, x: str, target: FixedType) -> str:
    """`x` is what was rounded: the lowest bit that is lost is taken from it."""
    wrapped = _wrap(form, rounded, target)
    turns = form.node("Floor", form.scale(x, -target.width))
    half = form.node("Floor", form.scale(turns, -1))
    lost = form.node("Sub", turns, form.scale(half, 1))  # 0 or 1
    zero, one = form.constant(0, form.accumulator), form.constant(1, form.accumulator)
    sign = form.node("Where", form.node("Less", wrapped, zero, dtype="bool"), one, zero, dtype=form.accumulator)
    kept = form.node("Or", form.node("Equal", wrapped, rounded, dtype="bool"), form.node("Equal", lost, sign, dtype="bool"))
    inverted = form.node("Sub", form.constant(-1, form.accumulator), wrapped)
    return form.node("Where", kept, wrapped, inverted, dtype=form.accumulator)


_OVERFLOW: dict[Overflow, Callable[[OnnxForm, str, FixedType], str]] = {
    Overflow.SAT: _saturate,
    Overflow.SAT_SYM: _saturate_symmetric,
    Overflow.SAT_ZERO: _saturate_zero,
    Overflow.WRAP: _wrap,
}
