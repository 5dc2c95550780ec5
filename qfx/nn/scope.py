"""Where a layer writes its ops while it is lowered."""

from __future__ import annotations

from qfx.fixed import FixedType, IntArray
from qfx.ir import GraphBuilder, Value
from qfx.ops import Op


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

    def constant(self, suffix: str, codes: IntArray, type: FixedType) -> Value:
        """Add a constant of the layer, such as `.weight`."""
        return self.builder.constant(self.name + suffix, type, codes)
