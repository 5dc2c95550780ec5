"""When each kernel of `hls_templates/` reads and writes: what the schedule knows of the C++.

A pattern function gives one frame: the iterations, and per stream argument the iteration of each of its words. The pipelined loops
of a kernel follow each other without a gap, and what it does once per start (clearing its memories) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qfx.errors import ExportError
from qfx.export.hls.layers import Layer
from qfx.export.hls.plan import Port, Stage, Wire
from qfx.export.schedule import Network, Pattern, Process, Schedule, repeated, schedule
from qfx.fixed import IntArray


@dataclass(frozen=True)
class Frame:
    """One frame of a kernel.

    Attributes:
        iterations: of its loops.
        reads, writes: the iteration of each word, by the position of the stream among those that the kernel reads or writes; in
            the order of the program.
    """

    iterations: int
    reads: dict[int, IntArray]
    writes: dict[int, IntArray]


@dataclass(frozen=True)
class Settings:
    """What a stage's template arguments name: a layer with its constants, or only a value.

    Attributes:
        wires: of the layer, by their name in it; `value` for a value.
    """

    wires: dict[str, Wire]
    constants: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.constants[name]

    @property
    def x(self) -> Wire:
        return self.wires["in"]

    @property
    def out(self) -> Wire:
        return self.wires["out"]

    @property
    def value(self) -> Wire:
        return self.wires["value"]


@dataclass(frozen=True)
class Kernel:
    """The model of a kernel.

    Attributes:
        latency: depth of its pipeline in cycles, which no vendor tool has confirmed.
        passes: a word for a word: where several follow each other, a requantize is mostly the last, so words that wait behind
            them are narrower than in front of them.
    """

    frame: Callable[[Settings], Frame]
    latency: int
    passes: bool = False


class Plan(Protocol):
    """What is needed of an accelerator: `qfx.export.hls.emit.Design`."""

    @property
    def layers(self) -> list[Layer]: ...
    @property
    def stages(self) -> list[Stage]: ...
    @property
    def wires(self) -> list[Wire]: ...
    @property
    def outputs(self) -> list[Port]: ...


KERNELS: dict[str, Kernel] = {}
"""By name; a count of operands in it is left out."""
NUMBERED = re.compile(r"^(concat|rearrange)\d+")
ARGUMENT = re.compile(r"^(\w+)<(layer|value)::(\w+)")


def kernel(latency: int, *names: str, passes: bool = False) -> Callable[[Callable[[Settings], Frame]], Callable[[Settings], Frame]]:
    """Register the pattern of kernels that touch their streams alike."""

    def register(frame: Callable[[Settings], Frame]) -> Callable[[Settings], Frame]:
        KERNELS.update({name: Kernel(frame, latency, passes) for name in names})
        return frame

    return register


def design_network(design: Plan) -> Network:
    """The stages of a design as processes.

    Raises:
        ExportError: a kernel has no pattern.
    """
    layers = {layer.name: layer for layer in design.layers}
    wires = {wire.name: wire for wire in design.wires}
    return Network([_process(stage, design, layers, wires) for stage in design.stages])


def design_schedule(design: Plan) -> Schedule:
    """Rate, latency and depths of a design."""
    return schedule(design_network(design))


def stage_name(stage: Stage) -> str:
    """`conv2d stem_conv`, or `fork image_copy0` after the first stream that it writes: the same for no two stages."""
    return f"{stage.call.partition('<')[0]} {stage.writes[0].name if stage.writes else stage.arguments[-1]}"


def _process(stage: Stage, design: Plan, layers: dict[str, Layer], wires: dict[str, Wire]) -> Process:
    found = ARGUMENT.match(stage.call)
    model = KERNELS.get(NUMBERED.sub(r"\1", found[1])) if found else None
    if found is None or model is None:
        raise ExportError(f"stage {stage.call!r} has no pattern in export/hls/patterns.py, so it cannot be scheduled")
    if found[2] == "layer":
        layer = layers[found[3]]
        settings = Settings(layer.wires, dict(layer.constants))
    else:
        settings = Settings({"value": wires[found[3]]}, {})
    written = {stream.name for stream in stage.writes} | {port.name for port in design.outputs}
    reads = [name for name in stage.arguments if name not in written]
    writes = [name for name in stage.arguments if name in written]
    frame = model.frame(settings)
    pattern = Pattern(
        frame.iterations,
        {reads[index]: at for index, at in frame.reads.items()},
        {writes[index]: at for index, at in frame.writes.items()},
    )
    return Process(stage_name(stage), model.latency, repeated(pattern), passes=model.passes)


def every(count: int, step: int = 1, first: int = 0) -> IntArray:
    """first, first + step, ...: so many."""
    return np.arange(count, dtype=np.int64) * step + first


def where(mask: IntArray) -> IntArray:
    """The iterations in which something happens."""
    return np.flatnonzero(mask.ravel())


@kernel(2, "axi_in")
def axi_in(s: Settings) -> Frame:
    beats = s.value.words * s.value.lanes
    return Frame(beats, {0: every(beats)}, {0: every(s.value.words, s.value.lanes, s.value.lanes - 1)})


@kernel(2, "axi_out")
def axi_out(s: Settings) -> Frame:
    beats = s.value.words * s.value.lanes
    return Frame(beats, {0: every(s.value.words, s.value.lanes)}, {0: every(beats)})


@kernel(1, "fork")
def fork(s: Settings) -> Frame:
    at = every(s.value.words)
    return Frame(s.value.words, {0: at}, {0: at, 1: at})


@kernel(3, "relu", "clamp", "requantize", "lookup", passes=True)
def one_to_one(s: Settings) -> Frame:
    at = every(s.x.words)
    return Frame(s.x.words, {0: at}, {0: at})


@kernel(5, "affine", "affine_khot", "prelu", "prelu_khot", passes=True)
def one_to_one_product(s: Settings) -> Frame:
    return one_to_one(s)


@kernel(3, "add")
def add(s: Settings) -> Frame:
    at = every(s.out.words)
    return Frame(s.out.words, {0: at, 1: at}, {0: at})


@kernel(5, "multiply_values")
def multiply_values(s: Settings) -> Frame:
    at = every(s.out.words)
    return Frame(s.out.words, {1: at, 0: at}, {0: at})


@kernel(5, "multiply_channels")
def multiply_channels(s: Settings) -> Frame:
    at = every(s.out.words)
    return Frame(s.out.words, {1: every(s.x.groups), 0: at}, {0: at})


@kernel(3, "sliding_window")
def sliding_window(s: Settings) -> Frame:
    reads: list[IntArray] = []
    writes: list[IntArray] = []
    now, rows, row_words, beats = 0, 0, s["ROW_WORDS"], s["ROW_BEATS"]
    for out_row in range(s.out.height):
        until = min(s["FIRST_ROW"] + out_row * s["STRIDE_ROWS"] + s["LINES"], s.x.height)
        fill = max(0, until - rows) * row_words
        rows = max(rows, until)
        reads.append(every(fill, 1, now))
        writes.append(every(beats, 1, now + fill))
        now += fill + beats
    left = (s.x.height - rows) * row_words
    reads.append(every(left, 1, now))
    return Frame(now + left, {0: np.concatenate(reads)}, {0: np.concatenate(writes)})


@kernel(8, "conv2d", "conv2d_khot", "linear", "linear_khot")
def matrix_vector(s: Settings) -> Frame:
    window, outputs = s["WINDOW"], s.out.groups
    steps = every(s.out.pixels * outputs * window).reshape(-1, outputs, window)
    return Frame(steps.size, {0: steps[:, 0].ravel()}, {0: steps[..., -1].ravel()})


@kernel(4, "max_pool2d", "avg_pool2d")
@kernel(6, "avg_pool2d_scaled", "avg_pool2d_places", "conv2d_depthwise", "conv2d_depthwise_khot")
def tap_by_tap(s: Settings) -> Frame:
    count = s.out.words * s["TAPS"]
    return Frame(count, {0: every(count)}, {0: every(s.out.words, s["TAPS"], s["TAPS"] - 1)})


@kernel(6, "conv2d_grouped", "conv2d_grouped_khot")
def conv2d_grouped(s: Settings) -> Frame:
    window, turns = s["WINDOW_CODES"], s["WEIGHT_WORDS"]
    word = turns // s.out.channels * s.out.lanes  # beats per word of outputs
    starts = every(s.out.pixels, window + turns)[:, None]
    read = starts + every(window // s.x.lanes, s.x.lanes)
    return Frame(
        s.out.pixels * (window + turns), {0: read.ravel()}, {0: (starts + window + every(s.out.groups, word, word - 1)).ravel()}
    )


@kernel(3, "argmax")
def argmax(s: Settings) -> Frame:
    codes = s.x.words * s.x.lanes
    return Frame(codes, {0: every(s.x.words, s.x.lanes)}, {0: every(1, 1, codes - 1)})


def parts(s: Settings) -> Iterator[tuple[Wire, int, int]]:
    """The operands of a concatenation, each with the first place of its channels and that behind its last."""
    start = 0
    for index, wire in enumerate(wire for name, wire in s.wires.items() if name != "out"):
        yield wire, start, s[f"END_{index}"]
        start = s[f"END_{index}"]


@kernel(3, "concat_words")
def concat_words(s: Settings) -> Frame:
    steps = every(s.out.words).reshape(-1, s.out.groups)
    return Frame(steps.size, {i: steps[:, start:end].ravel() for i, (_, start, end) in enumerate(parts(s))}, {0: steps.ravel()})


@kernel(3, "concat")
def concat(s: Settings) -> Frame:
    steps = every(s.out.pixels * s.out.channels).reshape(-1, s.out.channels)
    reads = {i: steps[:, start : end : wire.lanes].ravel() for i, (wire, start, end) in enumerate(parts(s))}
    return Frame(steps.size, reads, {0: every(s.out.words, s.out.lanes, s.out.lanes - 1)})


@kernel(3, "pad")
def pad(s: Settings) -> Frame:
    inside = np.zeros((s.out.height, s["COLUMNS"], s.out.groups), np.int64)
    inside[s["ABOVE"] :, s["LEFT"] :][: s.x.height, : s["X_COLUMNS"]] = 1
    return Frame(inside.size, {0: where(inside)}, {0: every(inside.size)})


@kernel(3, "upsample")
def upsample(s: Settings) -> Frame:
    first = np.zeros((s.x.height, s["ROW_FACTOR"], s.x.width, s["COLUMN_FACTOR"], s.x.groups), np.int64)
    first[:, 0, :, 0] = 1
    return Frame(first.size, {0: where(first)}, {0: every(first.size)})


@kernel(3, "upsample_zeros")
def upsample_zeros(s: Settings) -> Frame:
    there = np.zeros((s.out.height, s["COLUMNS"], s.out.groups), np.int64)
    there[:: s["ROW_FACTOR"], :: s["COLUMN_FACTOR"]] = 1
    return Frame(there.size, {0: where(there)}, {0: every(there.size)})


@kernel(3, "reshape", "rearrange", "rearrange_table")
def through_memory(s: Settings) -> Frame:
    size = s["SIZE"]
    return Frame(2 * size, {0: every(s.x.words, s.x.lanes)}, {0: every(s.out.words, s.out.lanes, size + s.out.lanes - 1)})


def kept(s: Settings) -> IntArray:
    """Where a slice keeps what it reads: (row, column, channel or group)."""
    mask = np.zeros((s.x.height, s["COLUMNS"], s["CHANNELS"]), np.int64)
    rows, columns, channels = (
        slice(s[f"START_{axis}"], s[f"LAST_{axis}"] + 1, s[f"STEP_{axis}"]) for axis in ("ROW", "COLUMN", "CHANNEL")
    )
    mask[rows, columns, channels] = 1
    return mask


@kernel(3, "slice_words")
def slice_words(s: Settings) -> Frame:
    mask = kept(s)
    return Frame(mask.size, {0: every(mask.size)}, {0: where(mask)})


@kernel(3, "slice")
def slice_codes(s: Settings) -> Frame:
    mask = kept(s)
    lanes = s.out.lanes
    return Frame(mask.size, {0: every(s.x.words, s.x.lanes)}, {0: where(mask)[lanes - 1 :: lanes]})
