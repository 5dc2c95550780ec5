"""Which stream carries which value, in what words, from whom to whom.

One stage per node, one stream per value. A value with two readers passes a fork; a reader that wants other words than the writer
sends has a converter before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from qfx.errors import ExportError
from qfx.export.hls.folding import MAX_WORD_BITS, Folding
from qfx.export.hls.kernels import kernel_class
from qfx.export.hls.kernels.convert import Convert
from qfx.export.hls.kernels.fork import Fork
from qfx.export.hls.names import identifier, unique_identifiers
from qfx.export.hls.node_folds import node_cycles
from qfx.export.hls.operation import operation_of
from qfx.export.hls.stage import Stage, Stream
from qfx.export.hls.words import Port, Wire, slot_width
from qfx.ir import Graph, Node

AXI_BITS = (32, 64, 128)
"""Bits of a beat."""


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

    @property
    def computed(self) -> list[Node]:
        """Nodes that have a stage."""
        return [node for node in self.graph.nodes if not self.wires[node.name].is_alias]

    def operands(self, node: Node) -> list[str]:
        """Names of the node's operands that are streams."""
        return [name for name in node.inputs if name in self.wires]

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
        found = self.wires[value].by(lanes)
        return self.views.setdefault(found.name, found) if found.view else found

    def read(self, value: str, lanes: int) -> tuple[str, list[Stage]]:
        """The stream that the next reader of `value` reads in words of so many codes, and the converters before it."""
        stream, wire = self.take(value), self.wires[value]
        stages: list[Stage] = []
        for step in dict.fromkeys((math.lcm(wire.lanes, lanes), lanes)):
            if step != wire.lanes:
                target = self.view(value, step)
                carried = Stream.of(f"{stream}_by{step}", target)
                stages.append(Stage(Convert(wire, target), "value", (wire.name, target.name), (stream,), (carried,)))
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
            streams = tuple(Stream.of(name, wire) for name in names)
            stages.append(Stage(Fork(wire), "value", (wire.name,), (source,), streams))
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
    nodes = {node.name: node for node in graph.nodes}
    interval = max((node_cycles(graph, node, folding[node.name]) for node in graph.nodes), default=1)
    wires: dict[str, Wire] = {}
    for name in graph.activations():
        lanes = folding[name].writes if name in folding else _input_lanes(graph, name, folding)
        wires[name] = Wire(graph.values[name], lanes, names[name], names[name])
        if name in graph.inputs:
            wires[name] = replace(wires[name], lanes=_port_lanes(wires[name], axi_bits, interval))
        if name in nodes and _relabels(graph, nodes[name]):
            operand = wires[nodes[name].inputs[0]]
            wires[name] = replace(wires[name], stream=operand.stream, lanes=operand.lanes)
    inputs, outputs = _ports(graph, wires, {top, *names.values()}, axi_bits)
    outputs = [replace(port, wire=port.wire.by(_port_lanes(port.wire, axi_bits, interval))) for port in outputs]
    return Wiring(graph, top, wires, inputs, outputs, _count_reads(graph, wires), folding, axi_bits)


def _input_lanes(graph: Graph, name: str, folding: Folding) -> int:
    """Codes per word of a graph input: what its first reader wants."""
    for node in graph.nodes:
        streams = [value.name for value in graph.operands(node) if value.constant is None]
        if name in streams:
            return folding[node.name].reads[streams.index(name)]
    return 1


def _port_lanes(wire: Wire, axi_bits: int, interval: int) -> int:
    """Codes per word of a port's wire: more than the stage has where the port would be the slowest stage otherwise.

    A port moves as many codes a cycle as beat and word have in common: of beats of 8 and words of 3 codes one.
    """
    slots = max(1, axi_bits // slot_width(wire.type))

    def cycles(lanes: int) -> int:
        return wire.value.size // math.gcd(slots, lanes)

    if cycles(wire.lanes) <= interval:
        return wire.lanes
    most = MAX_WORD_BITS // wire.type.width
    fitting = [n for n in range(wire.lanes, most + 1, wire.lanes) if wire.value.size % n == 0]
    whole = [n for n in fitting if n % wire.channels == 0 or wire.channels % n == 0]
    enough = [n for n in whole if cycles(n) <= interval]
    return enough[0] if enough else min(whole, key=lambda n: (cycles(n), n), default=wire.lanes)


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


def _relabels(graph: Graph, node: Node) -> bool:
    """Whether the node is its operand's stream under another label."""
    operation = operation_of(graph, node)
    return kernel_class(operation).relabels(operation)


def _count_reads(graph: Graph, wires: dict[str, Wire]) -> dict[str, int]:
    reads = {wire.stream: 0 for wire in wires.values()}
    for node in graph.nodes:
        if wires[node.name].is_alias:
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
