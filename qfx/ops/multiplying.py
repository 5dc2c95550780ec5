"""What ops that multiply by constants have in common: the constants may be K-hot."""

from __future__ import annotations

import dataclasses

from qfx.ops.base import Op


class MultipliesByConstants(Op):
    """An op that multiplies its first operand by its second, which is constant.

    Attributes:
        digits: the constants have at most this many signed digits and are multiplied by shift-add; None for any constants.
    """

    digits: int | None

    def khot(self, digits: int) -> Op:
        """The same op with K-hot constants; K is `digits`."""
        return dataclasses.replace(self, digits=digits)  # type: ignore[type-var]


class SumOfProducts(MultipliesByConstants):
    """result[o] = sum of weight[o] * x + bias[o]: linear in its constants, whose first axis is that of the results."""
