"""lookup: any scalar function, as a table with one entry per input code. Loses information, as its table says.

result = table[x - lowest code of x]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.base import Cost, Op, Sample, Shape
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.ranges import max_abs
from qfx.ops.sampling import activation, constant

MAX_INPUT_WIDTH = 16
"""Widest input: the table has 2**width entries."""


@dataclass(frozen=True)
class Lookup(Op):
    """Entry of `table` (2**width of x,) for each element of x (any shape), lowest code first.

    Attributes:
        function: name of the function that the table holds, for people.
    """

    function: str = ""

    kind: ClassVar[str] = "lookup"
    operand_names: ClassVar[tuple[str, ...]] = ("x", "table")
    constant_operands: ClassVar[frozenset[str]] = frozenset({"table"})
    lossy: ClassVar[bool] = True

    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        x, table = operands
        if x.type.width > MAX_INPUT_WIDTH:
            raise GraphError(f"lookup: an input of {x.type.width} bits is above {MAX_INPUT_WIDTH}; requantize it to fewer")
        if table.shape != (1 << x.type.width,):
            raise GraphError(f"lookup: {x.type.width}-bit inputs want a table of {1 << x.type.width} entries, not {table.shape}")
        return table.type, x.shape

    def bound(self, operands: Sequence[Value]) -> int:
        x, table = operands
        return max(1 << x.type.width, max_abs(table.codes))

    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        x, table = operands
        return table.codes[arrays[0] - x.type.min_int]

    def cost(self, operands: Sequence[Value]) -> Cost:
        return Cost()

    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        x, table = operands
        index = form.node("Sub", form.operand(0), form.constant(x.type.min_int, form.accumulator))
        entries = form.constant(table.codes, form.accumulator)
        return form.node("Gather", entries, form.cast(index, "int64"), attributes={"axis": 0})

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        x = activation("x", FixedType(True, 6, 3), (6, 3, 4))
        rising = Value("table", FixedType(False, 8, 8), (64,), np.arange(0, 256, 4))
        wide = constant("table", FixedType(True, 30, 3), (256,), 2)
        return (
            Sample("a rising function", cls("sigmoid"), (x, rising)),
            Sample(
                "unsigned, random entries", cls(), (activation("x", FixedType(False, 4, 9), (10,)), constant("t", x.type, (16,), 1))
            ),
            Sample("beyond float32", cls(), (activation("x", FixedType(True, 8, 3), (10,)), wide)),
            Sample("one bit", cls(), (activation("x", FixedType(True, 1, 0), (10,)), constant("t", x.type, (2,), 3))),
        )
