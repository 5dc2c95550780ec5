"""Add: the exact sum of two branches, each with a Requantize of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from qfx import ops
from qfx.errors import QuantizationError
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn.deferred import Deferred, summand
from qfx.nn.layer import Layer, lower_cast
from qfx.quant import Quantizer, QuantSpec, kernel

DEFAULT_BRANCH = QuantSpec.activations(9, signed=True)


class Add(Layer):
    """a + b, exact on the finer of the two grids; the branches may have different binary points.

    Values: `.a` and `.b` after the casts, the exact sum under the layer's path.

    Args:
        a, b: formats of the branches; None where a branch is narrow already, such as the output of a ReLU.

    Shapes: two equal ones -> the same.
    """

    def __init__(self, a: QuantSpec | None = DEFAULT_BRANCH, b: QuantSpec | None = DEFAULT_BRANCH) -> None:
        super().__init__()
        self.a = None if a is None else Quantizer(a)
        self.b = None if b is None else Quantizer(b)

    def first_cast(self, operand: int) -> Quantizer | None:
        return (self.a, self.b)[operand]

    def forward(self, a: Tensor | Deferred, b: Tensor | Deferred) -> Tensor | Deferred:
        together = self._together(a, b) if self.may_defer() else None
        if together is not None:
            return together
        a, b = self._branch(".a", self.a, a), self._branch(".b", self.b, b)
        if a.shape != b.shape:
            raise QuantizationError(f"Add: shapes {tuple(a.shape)} and {tuple(b.shape)} differ; broadcasting is not supported")
        return self.emit(self.tap("", self.carry("", a) + self.carry("", b)))

    def _together(self, a: Tensor | Deferred, b: Tensor | Deferred) -> Deferred | None:
        """The sum for the consumer to compute; None where the steps are taken one by one."""
        if self.carriers.get("") != torch.float32:
            return None
        first, second = summand(a, self.a), summand(b, self.b)
        if first is None or second is None or first.x.shape != second.x.shape or not kernel.serves(first.x, second.x):
            return None  # torch by itself is faster step by step
        return Deferred((first, second))

    def _branch(self, suffix: str, quantizer: Quantizer | None, x: Tensor | Deferred) -> Tensor:
        if isinstance(x, Deferred):
            if quantizer is not None and not quantizer.watched:
                return self.tap(suffix, x.cast(quantizer, relu=False))
            x = x.value()
        return self.cast(suffix, quantizer, x)

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        a, b = inputs
        return scope.add("", ops.Add(), lower_cast(scope, ".a", self.a, a), lower_cast(scope, ".b", self.b, b))
