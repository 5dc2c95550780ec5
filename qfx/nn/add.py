"""Add: the exact sum of two branches, each with a Requantize of its own."""

from __future__ import annotations

from torch import Tensor

from qfx.errors import QuantizationError
from qfx.frontend.calls.arithmetic import add
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn.layer import Layer, lower_cast
from qfx.quant import Quantizer, QuantSpec
from qfx.quant.tracing import shape_of

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

    @property
    def branches(self) -> tuple[Quantizer | None, Quantizer | None]:
        """The casts of both branches."""
        return self.a, self.b

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.sum(self.branch(0, a), self.branch(1, b))

    def branch(self, index: int, x: Tensor) -> Tensor:
        """The first or second branch after its cast."""
        return self.cast((".a", ".b")[index], self.branches[index], x)

    def sum(self, a: Tensor, b: Tensor) -> Tensor:
        """a + b, after the casts.

        Raises:
            QuantizationError: their shapes differ.
        """
        if shape_of(a) != shape_of(b):
            raise QuantizationError(f"Add: shapes {tuple(a.shape)} and {tuple(b.shape)} differ; broadcasting is not supported")
        return self.emit(self.tap("", self.to_accumulator("", a) + self.to_accumulator("", b)))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        a, b = inputs
        return add(scope, lower_cast(scope, ".a", self.a, a), lower_cast(scope, ".b", self.b, b))
