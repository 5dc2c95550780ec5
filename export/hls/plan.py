"""The accelerator as data: streams, stages and layer settings of a graph. `emit.py` prints it.

One stage per node, one stream per value. A word of a stream carries the codes of `lanes` neighbouring channels of a pixel;
words come in the order (row, column, channel group). A value with two readers passes a fork.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from qfx.errors import ExportError
from qfx.export.hls.names import identifier, unique_identifiers
from qfx.fixed import FixedType
from qfx.ir import Graph, Value

MAX_LANES = 8
"""Codes per stream word, at most."""

STREAM_DEPTH = 2
"""Of a stream between neighbours."""

BEAT_WIDTHS = (8, 16, 32, 64)
"""Of an AXI stream."""


def lanes(channels: int) -> int:
    """Codes per word: the largest divisor of the channel count up to MAX_LANES, so that streams of one shape always fit."""
    return max(d for d in range(1, MAX_LANES + 1) if channels % d == 0)


@dataclass(frozen=True)
class Wire:
    """How a value lies in its stream.

    Attributes:
        name: C++ name of its traits in namespace `value`.
        value: the value.
        stream: the stream that carries it; that of its operand for a reshape that moves nothing.
        source: where it came from, for comments.
    """

    name: str
    value: Value
    stream: str
    source: str = ""

    @property
    def type(self) -> FixedType:
        return self.value.type

    @property
    def channels(self) -> int:
        return self.value.shape[0]

    @property
    def height(self) -> int:
        """Rows: 1 where the value has no more than one axis behind the channels."""
        return self.value.shape[1] if len(self.value.shape) > 2 else 1

    @property
    def width(self) -> int:
        """Columns: all that is behind the rows, row-major."""
        return math.prod(self.value.shape[2:] if len(self.value.shape) > 2 else self.value.shape[1:])

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def lanes(self) -> int:
        return lanes(self.channels)

    @property
    def groups(self) -> int:
        """Words of a pixel."""
        return self.channels // self.lanes

    @property
    def words(self) -> int:
        """Words of a frame."""
        return self.pixels * self.groups

    @property
    def beat_width(self) -> int:
        """Bits of the AXI stream beat that carries one code."""
        return next(width for width in BEAT_WIDTHS if width >= self.type.width)

    @property
    def shape_text(self) -> str:
        """`8 x 16 x 16`."""
        return " x ".join(map(str, self.value.shape))


@dataclass(frozen=True)
class Stream:
    """A FIFO of the top function; `value` names the traits whose words it carries, `frame_words` how many there are a frame."""

    name: str
    value: str
    depth: int
    frame_words: int


@dataclass(frozen=True)
class Stage:
    """A call in the top function, after the streams it writes are declared.

    Attributes:
        call: kernel with its template arguments, such as `relu<layer::stem_relu>`.
        arguments: streams, readers first.
        writes: streams declared before the call.
        comment: what it is; empty for a stage that belongs to the one before.
    """

    call: str
    arguments: tuple[str, ...]
    writes: tuple[Stream, ...] = ()
    comment: str = ""


@dataclass
class Wiring:
    """Wires of all activations, and who reads which stream.

    Attributes:
        top: name of the top function.
        wires: by value name.
        reads: per stream the number of its readers.
    """

    graph: Graph
    top: str
    wires: dict[str, Wire]
    reads: dict[str, int]
    _taken: dict[str, int] = field(default_factory=dict[str, int])

    def take(self, value: str) -> str:
        """The stream that the next reader of `value` reads: the value's own, or one of the fork's copies."""
        stream = self.wires[value].stream
        if self.reads[stream] == 1:
            return stream
        number = self._taken.get(stream, 0)
        self._taken[stream] = number + 1
        return f"{stream}_copy{number}"

    def forks(self, wire: Wire) -> list[Stage]:
        """The chain of two-way forks behind the stream of `wire`; none if it has one reader.

        Each copy holds a whole frame. Every stage can finish a frame once it has that frame's inputs, so a copy that is a
        frame deep never stops the fork while another branch still waits for words of the same frame: no deadlock.
        """
        count = self.reads[wire.stream]
        stages: list[Stage] = []
        source = wire.stream
        for index in range(count - 1):
            last = index == count - 2
            names = (f"{wire.stream}_copy{index}", f"{wire.stream}_copy{index + 1}" if last else f"{wire.stream}_rest{index}")
            streams = tuple(Stream(name, wire.name, wire.words + STREAM_DEPTH, wire.words) for name in names)
            stages.append(Stage(f"fork<value::{wire.name}>", (source, *names), streams))
            source = names[1]
        return stages


def wire_graph(graph: Graph) -> Wiring:
    """Name and wire every activation.

    Raises:
        ExportError: not exactly one input and one output, or a value that nothing reads.
    """
    for what, names in (("input", graph.inputs), ("output", graph.outputs)):
        if len(names) != 1:
            raise ExportError(f"graph {graph.name!r} has {len(names)} {what}s ({', '.join(names)}); an HLS project has exactly one")
    top = identifier(graph.name)
    names = unique_identifiers(graph.activations(), {top})
    sources = {node.name: node.source for node in graph.nodes}
    wires: dict[str, Wire] = {}
    for name in graph.activations():
        wires[name] = Wire(names[name], graph.values[name], names[name], sources.get(name, ""))
        alias = _alias_of(graph, name)
        if alias is not None and _same_order(wires[alias], wires[name]):
            wires[name] = Wire(names[name], graph.values[name], wires[alias].stream, sources.get(name, ""))
    return Wiring(graph, top, wires, _count_reads(graph, wires))


def is_alias(wire: Wire) -> bool:
    """Whether the value is its operand's stream under another shape."""
    return wire.stream != wire.name


def _alias_of(graph: Graph, name: str) -> str | None:
    """The operand, if the value is a reshape."""
    return next((node.inputs[0] for node in graph.nodes if node.name == name and node.op.kind == "reshape"), None)


def _same_order(x: Wire, y: Wire) -> bool:
    """Whether the stream of x, read with the shape of y, is y = x.reshape(...)."""
    return (x.lanes == y.lanes and x.channels == y.channels and x.pixels == y.pixels) or x.channels == y.channels == 1


def _count_reads(graph: Graph, wires: dict[str, Wire]) -> dict[str, int]:
    reads = {wire.stream: 0 for wire in wires.values()}
    for node in graph.nodes:
        if is_alias(wires[node.name]):
            continue
        for name in node.inputs:
            if name in wires:
                reads[wires[name].stream] += 1
    for name in graph.outputs:
        reads[wires[name].stream] += 1
    for name, wire in wires.items():
        if reads[wire.stream] == 0:
            raise ExportError(f"value {name!r} is computed but nothing reads it and it is no output; remove it from the network")
    return reads
