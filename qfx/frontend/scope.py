"""Where a layer writes its ops while it is lowered."""

from __future__ import annotations

from collections.abc import Sequence

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray
from qfx.ir import GraphBuilder, Value
from qfx.ops import Op, Reshape

IMAGE = ".image"
"""Suffix of an operand (channel, length) as an image of height 1, where an op works on images."""
RESULT = ".result"
"""Suffix of an op's result before it loses the axes that the torch function drops."""


class Scope:
    """The graph builder under the name of one layer.

    Args:
        builder: of the graph.
        name: value name of the layer, its module path.
        source: where the layer is called, for messages.

    Attributes:
        suffixes: node name -> suffix, of every node added here; taps have the same suffixes.
    """

    def __init__(self, builder: GraphBuilder, name: str, source: str = "") -> None:
        self.builder = builder
        self.name = name
        self.source = source
        self.suffixes: dict[str, str] = {}

    def add(self, suffix: str, op: Op, *operands: Value) -> Value:
        """Add the step `suffix` of the layer, such as `.quant`; the empty suffix is the layer's own value."""
        name = self.name + suffix
        self.suffixes[name] = suffix
        return self.builder.add(name, op, *operands, source=self.source)

    def add_on_image(self, op: Op, x: Value, *constants: Value) -> Value:
        """Add an op on images for `x` (channel, length): `.image`, `.result`, and the layer's own value, again with two axes."""
        return self.as_signal(self.add(RESULT, op, self.as_image(x, op.kind), *constants))

    def as_image(self, x: Value, what: str) -> Value:
        """`x` (channel, length) as an image of height 1: `.image`.

        Raises:
            GraphError: x of other axes; names `what` wants it.
        """
        if len(x.shape) != 2:
            raise GraphError(f"{self.name}: {what} in one dimension wants x (C, L), not {x.shape}")
        return self.reshape((x.shape[0], 1, x.shape[1]), x, IMAGE)

    def as_signal(self, result: Value) -> Value:
        """The layer's own value: an image of height 1 with two axes again."""
        return self.reshape((result.shape[0], result.shape[2]), result)

    def reshape(self, shape: Sequence[int], x: Value, suffix: str = "") -> Value:
        """Add the step `suffix` of the layer: the codes of `x` under another shape."""
        return self.add(suffix, Reshape(tuple(shape)), x)

    def constant(self, suffix: str, codes: IntArray, type: FixedType) -> Value:
        """Add a constant of the layer, such as `.weight`."""
        return self.builder.constant(self.name + suffix, type, codes)
