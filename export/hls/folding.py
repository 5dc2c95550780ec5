"""How parallel each stage is: codes per word that it reads and writes, kernel positions per cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qfx.ir import Graph, Node
from qfx.ops import Conv2d, Slice

MAX_LANES = 8
"""Codes per word where nothing else is asked for, at most."""

MAX_WORD_BITS = 1024
"""AP_INT_MAX_W's default: the widest word."""


PRODUCT_TEXTS = {"dsp": "in DSPs", "packed": "packed", "lut": "in LUTs", "khot": "by shifts"}
"""Ways to multiply, in words."""


@dataclass(frozen=True)
class Fold:
    """The parallelism of one stage.

    Attributes:
        reads: codes per word of each operand that is a stream; of a convolution or a linear layer S, so SIMD = S * taps.
        writes: codes per word of the result; of a convolution or a linear layer PE. More than a pixel has: P whole pixels, which
            windows of all kernel positions and channels make at once.
        taps: T, kernel positions per cycle: 1, those of a kernel column, or all of them.
        product: how `x * constant` is made where the constants are not K-hot: `dsp`; `packed`, where the constants of neighbouring
            outputs share a DSP; `lut`; `khot`, by shifts for the signed digits that they have; or empty for what the tools choose.
        storage: where the weights of a convolution or a linear layer lie: `lut` or `bram`; empty for what the tools choose.
    """

    reads: tuple[int, ...]
    writes: int
    taps: int = 1
    product: str = ""
    storage: str = ""

    @property
    def simd(self) -> int:
        """Codes of the first operand that come in at once, over all kernel positions; of a fold of at most one pixel."""
        return self.reads[0] * self.taps

    def pixels(self, channels: int) -> int:
        """Whole pixels in a word of results of so many channels; 1 where a pixel has several words."""
        return max(1, self.writes // channels)


Folding = Mapping[str, Fold]
"""By node name."""


def lanes(channels: int, most: int = MAX_LANES) -> int:
    """Codes per word: the largest divisor of the channel count up to `most`."""
    return max(d for d in range(1, most + 1) if channels % d == 0)


def divisors(count: int) -> list[int]:
    """All, in ascending order."""
    return [d for d in range(1, count + 1) if count % d == 0]


def plain_folding(graph: Graph) -> dict[str, Fold]:
    """Up to MAX_LANES codes per word everywhere, one kernel position per cycle: only groups of channels need converters."""
    return {node.name: plain_fold(graph, node) for node in graph.nodes}


def plain_fold(graph: Graph, node: Node) -> Fold:
    """The node's entry of `plain_folding`."""
    groups = apart(graph, node)
    out = graph.values[node.name].shape[0]
    return Fold(tuple(lanes(count // groups) for count in channels_in(graph, node)), lanes(out // groups))


def is_depthwise(graph: Graph, node: Node) -> bool:
    """Whether the node is a convolution with one channel per output."""
    if not isinstance(node.op, Conv2d):
        return False
    outputs, group_channels = graph.values[node.inputs[1]].shape[:2]
    return node.op.groups > 1 and group_channels == 1 and outputs == node.op.groups


def apart(graph: Graph, node: Node) -> int:
    """Groups of channels that no cycle may mix: those of a convolution that is not depthwise."""
    return node.op.groups if isinstance(node.op, Conv2d) and not is_depthwise(graph, node) else 1


def keeps_words(op: Slice, fold: Fold) -> bool:
    """Whether a slice takes whole words or none."""
    return fold.reads[0] == fold.writes and op.steps[0] == 1 and op.starts[0] % fold.reads[0] == 0


def channels_in(graph: Graph, node: Node) -> list[int]:
    """Of each operand that is a stream."""
    return [value.shape[0] for value in graph.operands(node) if value.constant is None]
