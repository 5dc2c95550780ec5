"""Prints an accelerator with the templates of `hls_templates/`, which hold all C++; this picks and feeds them."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterable

import jinja2

from qfx.export.hls.board import Board
from qfx.export.hls.design import Design
from qfx.export.hls.folding_file import NAME as FOLDING
from qfx.export.hls.folding_file import folding_text
from qfx.export.hls.kernels.base import Header
from qfx.export.hls.monitor import MAGIC, REGISTERS, design_hash
from qfx.export.hls.selfcheck import casts_of
from qfx.export.hls.words import Port

PROJECT_FILES = (
    *("types.hpp", "layers.hpp", "weights.hpp", "testbench.cpp", "hls.tcl", "hls_config.cfg", "Makefile", "README.md"),
    *("selfcheck.cfg", *(f"selfcheck/{name}" for name in ("casts.cpp", "casts.hpp", "golden.hpp", "testbench.cpp"))),
)
"""Files of every project that have a template of their own in `hls_templates/project/`."""


class Renderer:
    """Renders the templates of `hls_templates/`; an undefined name is an error."""

    def __init__(self) -> None:
        self._folder = importlib.resources.files("qfx") / "hls_templates"
        self._jinja = jinja2.Environment(
            undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True, autoescape=False
        )

    def template(self, path: str, **values: object) -> str:
        """The template `path` (below `hls_templates/`, without .j2) with these values."""
        text = (self._folder / f"{path}.j2").read_text(encoding="utf-8")
        return self._jinja.from_string(text).render(**values)

    def headers(self, headers: Iterable[Header]) -> dict[str, str]:
        """Text of headers and of all that they include, by name."""
        wanted: dict[str, Header] = {}
        for header in headers:
            wanted |= header.all()
        return {name: self.template(f"{header.template}.hpp", **header.values) for name, header in sorted(wanted.items())}


def render(design: Design, board: Board, clock_ns: float, frames: int) -> dict[str, str]:
    """All text files of the `hls/` folder but the golden data, by relative path.

    Args:
        frames: golden frames of the testbench.
    """
    renderer = Renderer()
    values: dict[str, object] = {"design": design, "board": board, "clock_ns": clock_ns, "frames": frames}
    values["registers"] = REGISTERS
    files = {f"kernels/{name}.hpp": text for name, text in renderer.headers(design.headers).items()}
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
        "flows": _flows(design),
    }


def _flows(design: Design) -> dict[str, object]:
    """Words a frame, writer and reader of every stream, in order."""
    readers = {name: stage.call for stage in design.stages for name in stage.reads}
    found: dict[str, object] = {}
    for port in design.inputs:
        found[port.name] = {"words": port.frame_beats, "writer": "", "reader": readers[port.name]}
    for stage in design.stages:
        for stream in stage.writes:
            found[stream.name] = {"words": stream.frame_words, "writer": stage.call, "reader": readers[stream.name]}
    for stage in design.stages:
        for port in design.outputs:
            if stage.port == port.name:
                found[port.name] = {"words": port.frame_beats, "writer": stage.call, "reader": ""}
    return found


def _port_layout(what: str, ports: list[Port]) -> dict[str, object]:
    """One port needs no names: `s_in` and `m_out` are known."""
    if len(ports) == 1:
        return {what: _port_entry(ports[0])}
    return {f"{what}s": [_port_entry(port) | {"port": port.name, "beat": port.beat} for port in ports]}


def _port_entry(port: Port) -> dict[str, object]:
    return {"value": port.wire.value.name, "slot_width": port.slot_width, "slots": port.slots}
