"""How parallel each stage is: codes per word that it reads and writes, kernel positions per cycle."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from qfx.errors import ExportError
from qfx.export.hls.packed import node_packing
from qfx.ir import Graph, Node
from qfx.ops import Affine, ArgMax, Concat, Conv2d, Linear, PReLU, Rearrange, Reshape, Slice

MAX_LANES = 8
"""Codes per word where nothing else is asked for, at most."""

MAX_WORD_BITS = 1024
"""AP_INT_MAX_W's default: the widest word."""


@dataclass(frozen=True)
class Fold:
    """The parallelism of one stage.

    Attributes:
        reads: codes per word of each operand that is a stream; of a convolution or a linear layer SIMD (per kernel position).
        writes: codes per word of the result; of a convolution or a linear layer PE.
        taps: kernel positions per cycle: 1, or all of them.
        product: how `x * constant` is made where the constants are not K-hot: `dsp`; `packed`, where the constants of neighbouring
            outputs share a DSP; `lut`; or empty for what the tools choose.
        storage: where the weights of a convolution or a linear layer lie: `lut` or `bram`; empty for what the tools choose.
    """

    reads: tuple[int, ...]
    writes: int
    taps: int = 1
    product: str = ""
    storage: str = ""

    @property
    def simd(self) -> int:
        """Codes of the first operand that come in at once, over all kernel positions."""
        return self.reads[0] * self.taps


Folding = Mapping[str, Fold]
"""By node name."""


def lanes(channels: int, most: int = MAX_LANES) -> int:
    """Codes per word: the largest divisor of the channel count up to `most`."""
    return max(d for d in range(1, most + 1) if channels % d == 0)


def divisors(count: int) -> list[int]:
    """All, in ascending order."""
    return [d for d in range(1, count + 1) if count % d == 0]


def plain_folding(graph: Graph) -> dict[str, Fold]:
    """Up to MAX_LANES codes per word everywhere, one kernel position per cycle: no stream needs a converter."""
    return {node.name: plain_fold(graph, node) for node in graph.nodes}


def plain_fold(graph: Graph, node: Node) -> Fold:
    """The node's entry of `plain_folding`."""
    return Fold(tuple(map(lanes, _channels_in(graph, node))), lanes(_channels(graph, node.name)))


def choices(graph: Graph, node: Node) -> Iterator[Fold]:
    """Every fold that the node's kernel can have; words are no wider than MAX_WORD_BITS."""
    ins, out = _channels_in(graph, node), _channels(graph, node.name)
    width_in = max(value.type.width for value in graph.operands(node) if value.constant is None)
    width_out = graph.values[node.name].type.width
    if isinstance(node.op, (Conv2d, Linear, ArgMax, Reshape, Rearrange, Slice)) and not is_depthwise(graph, node):
        found = [Fold((simd,), pe, taps) for taps in tap_choices(graph, node) for simd in divisors(ins[0]) for pe in divisors(out)]
    elif isinstance(node.op, Concat):
        found = [Fold((lane,) * len(ins), lane) for lane in divisors(math.gcd(*ins))]
        if node.op.axis == 0:  # code by code; along other axes whole words go on
            found += [Fold((1,) * len(ins), pe) for pe in divisors(out)]
    else:
        found = [Fold((lane,) * len(ins), lane, taps) for taps in tap_choices(graph, node) for lane in divisors(out)]
    products = product_choices(node)
    packs = {pe: node_packing(graph, node, pe) is not None for pe in {fold.writes for fold in found}}
    for fold in dict.fromkeys(found):
        if fold.simd * width_in <= MAX_WORD_BITS and fold.writes * width_out <= MAX_WORD_BITS:
            stores = ("", "lut", "bram") if weight_words(graph, node, fold) > 1 else ("",)
            ways = (*products, "packed") if packs[fold.writes] else products
            yield from (replace(fold, product=product, storage=storage) for product in ways for storage in stores)


def weight_words(graph: Graph, node: Node, fold: Fold) -> int:
    """Words of the table of weights, one read a cycle; 1 for ops without one."""
    if not isinstance(node.op, (Conv2d, Linear)) or is_grouped(graph, node):
        return 1
    weights = graph.operands(node)[1].size
    return weights // (fold.writes * (fold.taps if is_depthwise(graph, node) else fold.simd))


def product_choices(node: Node) -> tuple[str, ...]:
    """Ways to multiply: none to choose from where constants are K-hot or there is nothing to multiply."""
    multiplies = isinstance(node.op, (Conv2d, Linear, Affine, PReLU)) and node.op.digits is None
    return ("", "dsp", "lut") if multiplies else ("",)


def tap_choices(graph: Graph, node: Node) -> list[int]:
    """Kernel positions per cycle that the node's kernel can have."""
    if not isinstance(node.op, Conv2d) or is_grouped(graph, node):
        return [1]
    _, _, *kernel = graph.values[node.inputs[1]].shape
    return sorted({1, math.prod(kernel)})


def is_depthwise(graph: Graph, node: Node) -> bool:
    """Whether the node is a convolution with one channel per output."""
    if not isinstance(node.op, Conv2d):
        return False
    outputs, group_channels = graph.values[node.inputs[1]].shape[:2]
    return node.op.groups > 1 and group_channels == 1 and outputs == node.op.groups


def is_grouped(graph: Graph, node: Node) -> bool:
    """Whether the node is a convolution with groups of several channels or outputs."""
    return isinstance(node.op, Conv2d) and node.op.groups > 1 and not is_depthwise(graph, node)


def keeps_words(op: Slice, fold: Fold) -> bool:
    """Whether a slice takes whole words or none."""
    return fold.reads[0] == fold.writes and op.steps[0] == 1 and op.starts[0] % fold.reads[0] == 0


def check_folding(graph: Graph, folding: Folding) -> None:
    """Whether every node has a fold that its kernel can have.

    Raises:
        ExportError: a node without one, or with one that does not fit; the message lists what fits.
    """
    for node in graph.nodes:
        if node.name not in folding:
            raise ExportError(f"the folding has no entry for node {node.name!r}")
        if folding[node.name] == plain_fold(graph, node):
            continue
        fitting = list(choices(graph, node))
        if folding[node.name] not in fitting:
            raise ExportError(f"node {node.name!r} cannot fold as {_text(folding[node.name])}; it can as {_texts(fitting)}")


def _texts(folds: list[Fold], most: int = 12) -> str:
    more = f" and {len(folds) - most} more" if len(folds) > most else ""
    return "; ".join(map(_text, folds[:most])) + more


def _text(fold: Fold) -> str:
    taps = f", taps {fold.taps}" if fold.taps > 1 else ""
    product = f", products in {fold.product.upper()}s" if fold.product else ""
    storage = f", weights in {fold.storage.upper()}" if fold.storage else ""
    return f"reads {', '.join(map(str, fold.reads))}, writes {fold.writes}{taps}{product}{storage}"


def _channels_in(graph: Graph, node: Node) -> list[int]:
    return [value.shape[0] for value in graph.operands(node) if value.constant is None]


def _channels(graph: Graph, name: str) -> int:
    return graph.values[name].shape[0]
