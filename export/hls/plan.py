"""The accelerator as data: streams, stages and layer settings of a graph. `emit.py` prints it.

One stage per node, one stream per value. A word of a stream carries the codes of `lanes` neighbouring channels of a pixel, or
of neighbouring pixels with all their channels; codes come in the order (row, column, channel). A value with two readers passes a
fork; a reader that wants other words than the writer sends has a converter before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from qfx.errors import ExportError
from qfx.export.hls.cycles import node_cycles
from qfx.export.hls.folding import MAX_WORD_BITS, Folding
from qfx.export.hls.names import identifier, unique_identifiers
from qfx.fixed import FixedType
from qfx.ir import Graph, Value

STREAM_DEPTH = 2
"""Of every stream, until the schedule has said how deep it has to be."""

SLOT_WIDTHS = (8, 16, 32, 64)
"""Bits that a code may take in a beat of an AXI stream."""

AXI_BITS = (32, 64, 128)
"""Bits of a beat."""

LABELS = ("reshape", "shift")
"""Ops that give the codes of their operand another shape or binary point, so that often its stream will do."""


@dataclass(frozen=True)
class Wire:
    """How a value lies in its stream.

    Attributes:
        name: C++ name of its traits in namespace `value`.
        value: the value.
        stream: the stream that carries it; that of its operand for a label that moves nothing.
        lanes: codes per word.
        source: where it came from, for comments.
    """

    name: str
    value: Value
    stream: str
    lanes: int
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
    def groups(self) -> int:
        """Words of a pixel; 1 where a word holds one or several whole pixels."""
        return max(1, self.channels // self.lanes)

    @property
    def words(self) -> int:
        """Words of a frame."""
        return self.value.size // self.lanes

    @property
    def row_words(self) -> int:
        """Words of a row."""
        return self.width * self.channels // self.lanes

    @property
    def word_width(self) -> int:
        """Bits of a word."""
        return self.lanes * self.type.width

    @property
    def shape_text(self) -> str:
        """`8 x 16 x 16`."""
        return " x ".join(map(str, self.value.shape))


def slot_width(type: FixedType) -> int:
    """Bits that a code of this format takes in a beat."""
    return next(width for width in SLOT_WIDTHS if width >= type.width)


@dataclass(frozen=True)
class Port:
    """An AXI stream of the top function.

    Attributes:
        name: C++ name: `s_in`, `m_out`, or these with the value's name if there are several.
        beat: C++ name of the type of its beats.
        data: name of its golden data, without the ending.
        wire: the value that it carries.
        beat_width: bits of a beat.
    """

    name: str
    beat: str
    data: str
    wire: Wire
    beat_width: int

    @property
    def slot_width(self) -> int:
        """Bits that a code takes in a beat."""
        return slot_width(self.wire.type)

    @property
    def slots(self) -> int:
        """Codes of a beat."""
        return self.beat_width // self.slot_width

    @property
    def step(self) -> int:
        """Codes that go from beats to words, or back, in a cycle."""
        return math.gcd(self.slots, self.wire.lanes)

    @property
    def steps(self) -> int:
        """Cycles of a frame."""
        return self.wire.value.size // self.step

    @property
    def frame_beats(self) -> int:
        """Beats of a frame."""
        return -(-self.wire.value.size // self.slots)

    @property
    def codes_text(self) -> str:
        """`8 codes of image`."""
        return f"{self.slots} code{'s' * (self.slots > 1)} of {self.wire.value.name}"


@dataclass(frozen=True)
class Stream:
    """A FIFO of the top function; `word` is the C++ type of its words, `frame_words` how many there are a frame."""

    name: str
    word: str
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
        folding: of every node.
        axi_bits: of a beat, where one code does not take more.
        views: values under other word widths than that of their stream, by name.
    """

    graph: Graph
    top: str
    wires: dict[str, Wire]
    inputs: list[Port]
    outputs: list[Port]
    reads: dict[str, int]
    folding: Folding
    axi_bits: int
    views: dict[str, Wire] = field(default_factory=dict[str, Wire])
    _taken: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def carried(self) -> list[Wire]:
        """All values, and their views in other words."""
        return [*self.wires.values(), *self.views.values()]

    def take(self, value: str) -> str:
        """The stream that the next reader of `value` reads: the value's own, or one of the fork's copies."""
        stream = self.wires[value].stream
        if self.reads[stream] == 1:
            return stream
        number = self._taken.get(stream, 0)
        self._taken[stream] = number + 1
        return f"{stream}_copy{number}"

    def view(self, value: str, lanes: int) -> Wire:
        """The value in words of so many codes: its own wire, or a view of it."""
        wire = self.wires[value]
        if wire.lanes == lanes:
            return wire
        found = _view(wire, lanes)
        return self.views.setdefault(found.name, found)

    def read(self, value: str, lanes: int) -> tuple[str, list[Stage]]:
        """The stream that the next reader of `value` reads in words of so many codes, and the converters before it."""
        stream, wire = self.take(value), self.wires[value]
        stages: list[Stage] = []
        for step in dict.fromkeys((math.lcm(wire.lanes, lanes), lanes)):
            if step != wire.lanes:
                target = self.view(value, step)
                kernel = "convert_wider" if step > wire.lanes else "convert_narrower"
                carried = Stream(f"{stream}_by{step}", f"value::{target.name}::word", STREAM_DEPTH, target.words)
                call = f"{kernel}<value::{wire.name}, value::{target.name}>"
                stages.append(Stage(call, (stream, carried.name), (carried,)))
                stream, wire = carried.name, target
        return stream, stages

    def forks(self, wire: Wire) -> list[Stage]:
        """The chain of two-way forks behind the stream of `wire`; none if it has one reader."""
        count = self.reads[wire.stream]
        stages: list[Stage] = []
        source = wire.stream
        for index in range(count - 1):
            last = index == count - 2
            names = (f"{wire.stream}_copy{index}", f"{wire.stream}_copy{index + 1}" if last else f"{wire.stream}_rest{index}")
            streams = tuple(Stream(name, f"value::{wire.name}::word", STREAM_DEPTH, wire.words) for name in names)
            stages.append(Stage(f"fork<value::{wire.name}>", (source, *names), streams))
            source = names[1]
        return stages


def wire_graph(graph: Graph, folding: Folding, axi_bits: int) -> Wiring:
    """Name and wire every activation.

    Raises:
        ExportError: beats of other than `AXI_BITS`, no input, an output that is none or stands twice, or a value that nothing
            reads.
    """
    if axi_bits not in AXI_BITS:
        raise ExportError(f"an AXI stream of {axi_bits} bits cannot be had; choose {', '.join(map(str, AXI_BITS))}")
    check_ends(graph)
    top = identifier(graph.name)
    names = unique_identifiers(graph.activations(), {top})
    sources = {node.name: node.source for node in graph.nodes}
    interval = max((cycles for node in graph.nodes for cycles in node_cycles(graph, node, folding[node.name]).values()), default=1)
    wires: dict[str, Wire] = {}
    for name in graph.activations():
        lanes = folding[name].writes if name in folding else _input_lanes(graph, name, folding)
        wires[name] = Wire(names[name], graph.values[name], names[name], lanes, sources.get(name, ""))
        if name in graph.inputs:
            wires[name] = _for_port(wires[name], axi_bits, interval)
        alias = _alias_of(graph, name)
        if alias is not None and _same_order(wires[alias], wires[name]):
            wires[name] = replace(wires[name], stream=wires[alias].stream, lanes=wires[alias].lanes)
    inputs, outputs = _ports(graph, wires, {top, *names.values()}, axi_bits)
    outputs = [replace(port, wire=_view(port.wire, _for_port(port.wire, axi_bits, interval).lanes)) for port in outputs]
    return Wiring(graph, top, wires, inputs, outputs, _count_reads(graph, wires), folding, axi_bits)


def _input_lanes(graph: Graph, name: str, folding: Folding) -> int:
    """Codes per word of a graph input: what its first reader wants."""
    for node in graph.nodes:
        streams = [value.name for value in graph.operands(node) if value.constant is None]
        if name in streams:
            return folding[node.name].reads[streams.index(name)]
    return 1


def _view(wire: Wire, lanes: int) -> Wire:
    """The wire in words of so many codes."""
    return wire if wire.lanes == lanes else replace(wire, name=f"{wire.name}_by{lanes}", lanes=lanes)


def _for_port(wire: Wire, axi_bits: int, interval: int) -> Wire:
    """The wire in words of more codes, where its port would be the slowest stage otherwise.

    A port moves as many codes a cycle as beat and word have in common: of beats of 8 and words of 3 codes one.
    """
    slots = max(1, axi_bits // slot_width(wire.type))

    def cycles(lanes: int) -> int:
        return wire.value.size // math.gcd(slots, lanes)

    if cycles(wire.lanes) <= interval:
        return wire
    most = MAX_WORD_BITS // wire.type.width
    fitting = [n for n in range(wire.lanes, most + 1, wire.lanes) if wire.value.size % n == 0]
    whole = [n for n in fitting if n % wire.channels == 0 or wire.channels % n == 0]
    enough = [n for n in whole if cycles(n) <= interval]
    return replace(wire, lanes=enough[0] if enough else min(whole, key=lambda n: (cycles(n), n), default=wire.lanes))


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


def _ports(graph: Graph, wires: dict[str, Wire], taken: set[str], axi_bits: int) -> tuple[list[Port], list[Port]]:
    """The ports of all inputs and of all outputs; their names are none of `taken`."""
    found: list[list[Port]] = []
    used = set(taken)
    for port, what, values in (("s_in", "input", graph.inputs), ("m_out", "output", graph.outputs)):
        if len(values) == 1:
            found.append([_port(port, f"{what}_beat", what, wires[values[0]], axi_bits)])
            continue
        ports: list[Port] = []
        for value in values:
            wire = wires[value]
            names = unique_identifiers([f"{port}_{wire.name}", f"{what}_beat_{wire.name}"], used)
            used.update(names.values())
            name, beat = names.values()
            ports.append(_port(name, beat, name, wire, axi_bits))
        found.append(ports)
    return found[0], found[1]


def _port(name: str, beat: str, data: str, wire: Wire, axi_bits: int) -> Port:
    """Beats of `axi_bits`, or as wide as one code."""
    return Port(name, beat, data, wire, max(axi_bits, slot_width(wire.type)))


def is_alias(wire: Wire) -> bool:
    """Whether the value is its operand's stream under another label."""
    return wire.stream != wire.name


def _alias_of(graph: Graph, name: str) -> str | None:
    """The operand, if the value is another label of it."""
    return next((node.inputs[0] for node in graph.nodes if node.name == name and node.op.kind in LABELS), None)


def _same_order(x: Wire, y: Wire) -> bool:
    """Whether the stream of x, read with the shape of y, is y: always where the shapes are equal."""
    return (x.channels == y.channels and x.pixels == y.pixels) or x.channels == y.channels == 1


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
