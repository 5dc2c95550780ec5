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
"""Of every stream, until the schedule has said how deep it has to be."""

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
class Port:
    """An AXI stream of the top function.

    Attributes:
        name: C++ name: `s_in`, `m_out`, or these with the value's name if there are several.
        beat: C++ name of the type of its beats.
        data: name of its golden data, without the ending.
        wire: the value that it carries.
    """

    name: str
    beat: str
    data: str
    wire: Wire


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
        inputs, outputs: the ports, in the order of the graph's.
        reads: per stream the number of its readers.
    """

    graph: Graph
    top: str
    wires: dict[str, Wire]
    inputs: list[Port]
    outputs: list[Port]
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
        """The chain of two-way forks behind the stream of `wire`; none if it has one reader."""
        count = self.reads[wire.stream]
        stages: list[Stage] = []
        source = wire.stream
        for index in range(count - 1):
            last = index == count - 2
            names = (f"{wire.stream}_copy{index}", f"{wire.stream}_copy{index + 1}" if last else f"{wire.stream}_rest{index}")
            streams = tuple(Stream(name, wire.name, STREAM_DEPTH, wire.words) for name in names)
            stages.append(Stage(f"fork<value::{wire.name}>", (source, *names), streams))
            source = names[1]
        return stages


def wire_graph(graph: Graph) -> Wiring:
    """Name and wire every activation.

    Raises:
        ExportError: no input, an output that is none or stands twice, or a value that nothing reads.
    """
    check_ends(graph)
    top = identifier(graph.name)
    names = unique_identifiers(graph.activations(), {top})
    sources = {node.name: node.source for node in graph.nodes}
    wires: dict[str, Wire] = {}
    for name in graph.activations():
        wires[name] = Wire(names[name], graph.values[name], names[name], sources.get(name, ""))
        alias = _alias_of(graph, name)
        if alias is not None and _same_order(wires[alias], wires[name]):
            wires[name] = Wire(names[name], graph.values[name], wires[alias].stream, sources.get(name, ""))
    inputs, outputs = _ports(graph, wires, {top, *names.values()})
    return Wiring(graph, top, wires, inputs, outputs, _count_reads(graph, wires))


def check_ends(graph: Graph) -> None:
    """Whether the inputs and outputs of a graph can be ports.

    Raises:
        ExportError: no input, an output that is an input or a constant, or one that stands twice.
    """
    if not graph.inputs:
        raise ExportError(f"graph {graph.name!r} has no input; an accelerator computes something from one or more")
    computed = {node.name for node in graph.nodes}
    for name in graph.outputs:
        if name not in computed:
            raise ExportError(
                f"output {name!r} of graph {graph.name!r} is not computed; only what a layer computes can be an output"
            )
        if graph.outputs.count(name) > 1:
            raise ExportError(f"graph {graph.name!r} has the output {name!r} {graph.outputs.count(name)} times; give it once")


def _ports(graph: Graph, wires: dict[str, Wire], taken: set[str]) -> tuple[list[Port], list[Port]]:
    """The ports of all inputs and of all outputs; their names are none of `taken`."""
    found: list[list[Port]] = []
    used = set(taken)
    for port, what, values in (("s_in", "input", graph.inputs), ("m_out", "output", graph.outputs)):
        if len(values) == 1:
            found.append([Port(port, f"{what}_beat", what, wires[values[0]])])
            continue
        ports: list[Port] = []
        for value in values:
            wire = wires[value]
            names = unique_identifiers([f"{port}_{wire.name}", f"{what}_beat_{wire.name}"], used)
            used.update(names.values())
            name, beat = names.values()
            ports.append(Port(name, beat, name, wire))
        found.append(ports)
    return found[0], found[1]


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
