"""The accelerator as data: streams, stages and settings of a graph. `render.py` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from qfx.export.hls.folding import Folding
from qfx.export.hls.kernels import OpKernel, kernel_of
from qfx.export.hls.kernels.axi import AxiIn, AxiOut
from qfx.export.hls.kernels.base import Header
from qfx.export.hls.node_folds import check_folding, plain_folding
from qfx.export.hls.operation import operation_of
from qfx.export.hls.stage import Stage, Stream
from qfx.export.hls.stage_settings import Settings
from qfx.export.hls.wiring import Wiring, wire_graph
from qfx.export.hls.words import Port, Wire
from qfx.export.schedule import Network, Schedule, schedule
from qfx.ir import Graph, HostStep, Node
from qfx.ops.base import Op


@dataclass(frozen=True)
class Design:
    """An accelerator, ready to print.

    Attributes:
        wiring: its streams.
        settings: of each node that has a stage, in order.
        stages: calls of the top function, in order.
        network: the stages as processes.
        schedule: their rate, and the depths of their streams.
    """

    wiring: Wiring
    settings: list[Settings]
    stages: list[Stage]
    network: Network
    schedule: Schedule

    @property
    def name(self) -> str:
        return self.wiring.top

    @property
    def graph(self) -> Graph:
        """What it computes."""
        return self.wiring.graph

    @property
    def wires(self) -> list[Wire]:
        """All values, and their views in other words."""
        return self.wiring.carried

    @property
    def axi_bits(self) -> int:
        """Bits of a beat, where one code does not take more."""
        return self.wiring.axi_bits

    @property
    def inputs(self) -> list[Port]:
        return self.wiring.inputs

    @property
    def outputs(self) -> list[Port]:
        return self.wiring.outputs

    @property
    def host(self) -> list[HostStep]:
        return self.graph.host

    @property
    def streams(self) -> list[Stream]:
        return [stream for stage in self.stages for stream in stage.writes]

    @property
    def headers(self) -> list[Header]:
        """Headers of the stages, each once: of ports, of forks and converters, and of the nodes in order."""
        first = ("axi_in", "axi_out", "fork", "convert_wider", "convert_narrower")
        functions = [stage.kernel.function for stage in self.stages]
        between = {name: self.stages[functions.index(name)] for name in first if name in functions}
        stages = [*between.values(), *(stage for stage in self.stages if stage.node)]
        return [*{stage.kernel.header.name: stage.kernel.header for stage in stages}.values()]


def design(graph: Graph, folding: Folding | None = None, axi_bits: int = 64) -> Design:
    """Plan the accelerator of a graph.

    Args:
        folding: the parallelism of every node; None for `plain_folding`.
        axi_bits: of a beat of the AXI streams: 32, 64 or 128.

    Raises:
        ExportError: something in the graph has no stage, or a fold that does not fit; the message names it.
    """
    if folding is not None:
        check_folding(graph, folding)
    wiring = wire_graph(graph, folding or plain_folding(graph), axi_bits)
    settings: list[Settings] = []
    stages = [*_inputs(wiring)]
    for node in wiring.computed:
        stages += _node_stages(node, wiring, settings)
        stages += wiring.forks(wiring.wires[node.name])
    stages += _outputs(wiring)
    network = Network(stages)
    found = schedule(network)
    depths = {name: depth.emitted for name, depth in found.depths.items()}
    return Design(wiring, settings, [stage.with_depths(depths) for stage in stages], network, found)


def _inputs(wiring: Wiring) -> Iterator[Stage]:
    which = "the input" if len(wiring.inputs) == 1 else "an input"
    for port in wiring.inputs:
        source = port.wire
        comment = f"{source.value.name}: {which}, {source.type.ap_name}, {source.shape_text}"
        yield Stage(AxiIn(port), "port", (port.name,), (port.name,), (Stream.of(source.name, source),), comment=comment)
        yield from wiring.forks(source)


def _outputs(wiring: Wiring) -> Iterator[Stage]:
    for port in wiring.outputs:
        result = port.wire
        stream, converters = wiring.read(result.value.name, result.lanes)
        stages = [*converters, Stage(AxiOut(port), "port", (port.name,), (stream,), port=port.name)]
        yield from _commented(stages, f"{result.value.name} leaves")


def _commented(stages: list[Stage], comment: str) -> list[Stage]:
    """The first of some stages that belong together has the comment."""
    return [replace(stages[0], comment=comment), *stages[1:]]


def _node_stages(node: Node, wiring: Wiring, known: list[Settings]) -> list[Stage]:
    """The stage of a node, and what comes before it: converters of words, and what picks its windows; its settings become known."""
    kernel = kernel_of(operation_of(wiring.graph, node), wiring.folding[node.name])
    settings = _settings(node, kernel, wiring)
    known.append(settings)
    before: list[Stage] = []
    reads: list[str] = []
    for name, lanes in zip(wiring.operands(node), kernel.fold.reads, strict=True):
        stream, converters = wiring.read(name, lanes)
        before += converters
        reads.append(stream)
    name = settings.name
    if kernel.window is not None:
        windows = Stream(f"{name}_windows", "layer", name, "window", kernel.window.width, kernel.window.words)
        before.append(Stage(kernel.window, "layer", (name,), (*reads,), (windows,), node=node.name))
        reads = [windows.name]
    own = Stage(kernel, "layer", (name,), (*reads,), (Stream.of(name, wiring.wires[node.name]),), node=node.name)
    return _commented([*before, own], settings.comment)


def _settings(node: Node, kernel: OpKernel[Op], wiring: Wiring) -> Settings:
    wires = [wiring.view(name, lanes) for name, lanes in zip(wiring.operands(node), kernel.fold.reads, strict=True)]
    out = wiring.wires[node.name]
    folded = f"; {kernel.parallelism}" if kernel.parallelism else ""
    comment = f"{node.name}: {node.op.describe()} -> {out.type.ap_name}, {out.shape_text}{folded}"
    settings = Settings(out.name, {f"in_{i}" if i else "in": wire for i, wire in enumerate(wires)} | {"out": out}, comment)
    kernel.describe(settings)
    settings.check(node.name)
    return settings
