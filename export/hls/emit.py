"""Renders a graph's accelerator from `hls_templates/`. Everything that prints C++ is there; this picks and feeds templates."""

from __future__ import annotations

import importlib.resources
import json
import re
from dataclasses import dataclass, replace

import jinja2

from qfx.errors import ExportError
from qfx.export.hls.board import Board
from qfx.export.hls.choices import check_folding
from qfx.export.hls.folding import Folding, plain_folding
from qfx.export.hls.folding_file import NAME as FOLDING
from qfx.export.hls.folding_file import folding_text
from qfx.export.hls.layers import Layer
from qfx.export.hls.monitor import MAGIC, REGISTERS, design_hash
from qfx.export.hls.patterns import stage_network, with_facts
from qfx.export.hls.plan import STREAM_DEPTH, Port, Stage, Stream, Wire, Wiring, is_alias, wire_graph
from qfx.export.hls.selfcheck import casts_of
from qfx.export.hls.stages import build_layer
from qfx.export.schedule import Network, Schedule, schedule
from qfx.ir import Graph, HostStep, Node

INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z0-9_]+)\.hpp"', re.MULTILINE)
PRODUCTS = ("khot", "dsp", "lut", "packed")
"""Variants of the kernels that multiply by constants; the template variable `product` holds the ending."""
VARIANTS = (
    *PRODUCTS,
    *(
        "taps",
        "columns",
        "pixels",
        "wider",
        "narrower",
        "minus",
        "scaled",
        "places",
        "words",
        "zeros",
        "values",
        "channels",
        "table",
    ),
)
"""Kernel files `<template>_<variant>` are variants of one template; the template variable of that name holds the ending."""
COUNT = re.compile(r"\d+$")
"""Kernel files `<template><count>` have that many of something, such as inputs; the template variable `count` holds it."""


PROJECT_FILES = (
    *("types.hpp", "layers.hpp", "weights.hpp", "testbench.cpp", "hls.tcl", "hls_config.cfg", "Makefile", "README.md"),
    *("selfcheck.cfg", *(f"selfcheck/{name}" for name in ("casts.cpp", "casts.hpp", "golden.hpp", "testbench.cpp"))),
)
"""Files of every project that have a template of their own in `hls_templates/project/`."""


@dataclass(frozen=True)
class Design:
    """An accelerator, ready to print.

    Attributes:
        layers: settings of each stage that has some, in order.
        stages: calls of the top function, in order.
        network: the stages as processes.
        schedule: their rate, and the depths of their streams.
    """

    wiring: Wiring
    layers: list[Layer]
    stages: list[Stage]
    network: Network
    schedule: Schedule

    @property
    def name(self) -> str:
        return self.wiring.top

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
        return self.wiring.graph.host

    @property
    def streams(self) -> list[Stream]:
        return [stream for stage in self.stages for stream in stage.writes]

    @property
    def kernels(self) -> list[str]:
        """Kernel files that the stages name, each once."""
        called = {stage.call.split("<")[0] for stage in self.stages}
        units = [unit for unit in ("fork", "convert_wider", "convert_narrower") if unit in called]
        headers = [name for layer in self.layers for name in (layer.window, layer.headers[0]) if name]
        return list(dict.fromkeys(["axi", *units, *headers]))


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
    stages: list[Stage] = []
    which = "the input" if len(wiring.inputs) == 1 else "an input"
    for port in wiring.inputs:
        source = port.wire
        comment = f"{source.value.name}: {which}, {source.type.ap_name}, {source.shape_text}"
        stages.append(Stage(f"axi_in<port::{port.name}>", (port.name, source.name), (_own(source),), comment))
        stages += wiring.forks(source)
    layers: list[Layer] = []
    for node in graph.nodes:
        if is_alias(wiring.wires[node.name]):
            continue
        layer = build_layer(node, wiring)
        layers.append(layer)
        stages += _node_stages(node, layer, wiring)
        stages += wiring.forks(layer.out)
    for port in wiring.outputs:
        result = port.wire
        stream, converters = wiring.read(result.value.name, result.lanes)
        out = [*converters, Stage(f"axi_out<port::{port.name}>", (stream, port.name), ())]
        stages += [replace(out[0], comment=f"{result.value.name} leaves"), *out[1:]]
    network = stage_network(wiring, layers, stages)
    found = schedule(network)
    return Design(wiring, layers, [_deepened(stage, found) for stage in stages], network, found)


def _deepened(stage: Stage, found: Schedule) -> Stage:
    """The stage, its streams as deep as the schedule says."""
    return replace(stage, writes=tuple(replace(stream, depth=found.depths[stream.name].emitted) for stream in stage.writes))


def _own(wire: Wire) -> Stream:
    return Stream(wire.name, f"value::{wire.name}::word", STREAM_DEPTH, wire.words)


def _node_stages(node: Node, layer: Layer, wiring: Wiring) -> list[Stage]:
    """The stage of a node, and what comes before it: converters of words, and what picks its windows."""
    before: list[Stage] = []
    reads: list[str] = []
    for name, lanes in zip((name for name in node.inputs if name in wiring.wires), layer.fold.reads, strict=True):
        stream, converters = wiring.read(name, lanes)
        before += converters
        reads.append(stream)
    if layer.window:
        windows = Stream(f"{layer.name}_windows", f"layer::{layer.name}::window", STREAM_DEPTH, layer.window_words)
        before.append(Stage(f"{layer.window}<layer::{layer.name}>", (*reads, windows.name), (windows,)))
        reads = [windows.name]
    call = f"{layer.kernel}<layer::{layer.name}>"
    stages = [*before, Stage(call, (*reads, layer.name), (_own(layer.out),))]
    return [replace(stages[0], comment=layer.comment), *stages[1:]]


class Renderer:
    """Renders the templates of `hls_templates/`; an undefined name is an error."""

    def __init__(self) -> None:
        self._folder = importlib.resources.files("qfx") / "hls_templates"
        self._jinja = jinja2.Environment(
            undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True, autoescape=False
        )

    def template(self, path: str, **values: object) -> str:
        """The template `path` (below `hls_templates/`, without .j2) with these values."""
        source = (self._folder / f"{path}.j2").read_text(encoding="utf-8")
        return self._jinja.from_string(source).render(**values)

    def kernels(self, names: list[str]) -> dict[str, str]:
        """Kernel files `<name>.hpp` with all that they include, by name."""
        result: dict[str, str] = {}
        todo = list(names)
        while todo:
            name = todo.pop(0)
            if name not in result:
                result[name] = self._kernel(name)
                todo += INCLUDE.findall(result[name])
        return result

    def _kernel(self, name: str) -> str:
        switches = {variant: f"_{variant}" if name.endswith(f"_{variant}") else "" for variant in VARIANTS}
        base = name.removesuffix("".join(switches.values()))
        count = COUNT.search(base)
        switches["product"] = "".join(switches[way] for way in PRODUCTS)
        base_file = COUNT.sub("", base)
        folders = ("units", "ops") if switches["product"] else ("ops", "units")  # both have a multiply
        exact, general = (f"units/{name}", f"ops/{name}"), (*(f"{folder}/{base_file}" for folder in folders), f"units/{base}")
        for path in (f"{file}.hpp" for file in (*exact, *general)):
            if (self._folder / f"{path}.j2").is_file():
                return self.template(path, count=int(count[0]) if count else 0, **switches)
        raise ExportError(f"hls_templates/ has no kernel {name!r}")


def render(design: Design, board: Board, clock_ns: float, frames: int) -> dict[str, str]:
    """All text files of the `hls/` folder but the golden data, by relative path.

    Args:
        frames: golden frames of the testbench.
    """
    renderer = Renderer()
    values: dict[str, object] = {"design": design, "board": board, "clock_ns": clock_ns, "frames": frames}
    values["registers"] = REGISTERS
    files = {f"kernels/{name}.hpp": with_facts(name, text) for name, text in sorted(renderer.kernels(design.kernels).items())}
    values["files"] = sorted([*files, f"{design.name}.hpp", "layers.hpp", "types.hpp", "weights.hpp"])
    values["casts"] = casts_of(design.wiring)
    for name in PROJECT_FILES:
        files[name] = renderer.template(f"project/{name}", **values)
    for ending in (".cpp", ".hpp"):
        files[f"{design.name}{ending}"] = renderer.template(f"project/top{ending}", **values)
    files[FOLDING] = folding_text(design.wiring.folding, design.axi_bits)
    files["schedule.txt"] = design.schedule.text() + "\n"
    value = design_hash(files)
    files["monitor.v"] = renderer.template("project/monitor.v", hash=value, magic=MAGIC, **values)
    files["layout.json"] = json.dumps(layout(design) | {"hash": f"{value:016x}"}, indent=1) + "\n"
    return files


def layout(design: Design) -> dict[str, object]:
    """What C simulation has to know to feed the project and to read its streams."""
    return {
        "format": 2,
        "top": design.name,
        **_port_layout("input", design.inputs),
        **_port_layout("output", design.outputs),
        "frame_words": sum(stream.frame_words for stream in design.streams),
        "values": {name: {"stream": wire.stream, "lanes": wire.lanes} for name, wire in design.wiring.wires.items()},
        "live_depths": {name: depths.live for name, depths in design.schedule.depths.items()},
    }


def _port_layout(what: str, ports: list[Port]) -> dict[str, object]:
    """One port needs no names: `s_in` and `m_out` are known."""
    if len(ports) == 1:
        return {what: _port_entry(ports[0])}
    return {f"{what}s": [_port_entry(port) | {"port": port.name, "beat": port.beat} for port in ports]}


def _port_entry(port: Port) -> dict[str, object]:
    return {"value": port.wire.value.name, "slot_width": port.slot_width, "slots": port.slots}
