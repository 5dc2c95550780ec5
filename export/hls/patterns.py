"""When each kernel of `hls_templates/` reads and writes: what the schedule knows of the C++.

A pattern function gives one frame: the iterations, and per stream argument the iteration of each of its words. The pipelined loops
of a kernel follow each other without a gap, and what it does once per start (clearing its memories) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from qfx.errors import ExportError
from qfx.export.hls.layers import Layer
from qfx.export.hls.plan import Stage, Wire, Wiring
from qfx.export.schedule import Frame, Network, Process
from qfx.fixed import IntArray


@dataclass(frozen=True)
class Touched:
    """One frame of a kernel.

    Attributes:
        iterations: of its loops.
        reads, writes: the iteration of each word, by the position of the stream among those that the kernel reads or writes; in
            the order of the program.
        ahead: words that it reads before the first frame.
    """

    iterations: int
    reads: dict[int, IntArray]
    writes: dict[int, IntArray]
    ahead: int = 0


@dataclass(frozen=True)
class Settings:
    """What a stage's template arguments name: a layer or a port with its constants, or one or two values.

    Attributes:
        wires: of the layer, by their name in it; `in` and `out` for values.
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


Pattern = Callable[[Settings], Touched]


@dataclass(frozen=True)
class Kernel:
    """The model of a kernel.

    Attributes:
        latency: depth of its pipeline in cycles, without an adder tree; no vendor tool has confirmed it.
        takes: what it is made of; `export/cost` counts it.
        passes: a word for a word: where several follow each other, a requantize is mostly the last, so words that wait behind
            them are narrower than in front of them.
    """

    touched: Pattern
    latency: int
    takes: str
    passes: bool = False


KERNELS: dict[str, Kernel] = {}
"""By name, without a count of operands and without the way in which it multiplies."""
VARIANT = re.compile(r"(?<=^concat)\d+|(?<=^rearrange)\d+|_(?:khot|dsp|lut|packed)$")
CALL = re.compile(r"^(\w+)<(?:layer::(\w+)|value::(\w+)(?:, value::(\w+))?|port::(\w+))")


def kernel(latency: int, *names: str, takes: str, passes: bool = False) -> Callable[[Pattern], Pattern]:
    """Register the pattern of kernels that touch their streams alike."""

    def register(touched: Pattern) -> Pattern:
        KERNELS.update({name: Kernel(touched, latency, takes, passes) for name in names})
        return touched

    return register


def with_facts(name: str, text: str) -> str:
    """The text of kernel file `name`, with the latency and the cost of its stage at the end of its first comment."""
    model = KERNELS.get("axi_in" if name == "axi" else VARIANT.sub("", name))
    if model is None:  # a part of other kernels
        return text
    tree = " and a cycle per level of the adder tree" if "adder tree" in model.takes else ""
    latency = f"// Latency: {model.latency} cycles{tree}, declared for the schedule; no vendor tool has confirmed it.\n"
    return text.replace("#pragma once\n", f"{latency}// Takes: {model.takes}.\n#pragma once\n", 1)


def stage_network(wiring: Wiring, layers: list[Layer], stages: list[Stage]) -> Network:
    """The stages of a design as processes.

    Raises:
        ExportError: a kernel has no pattern.
    """
    named = {layer.name: layer for layer in layers}
    wires = {wire.name: wire for wire in wiring.carried}
    return Network([_process(stage, named, wires, wiring) for stage in stages])


def stage_name(stage: Stage) -> str:
    """`conv2d stem_conv`, or `fork image_copy0` after the first stream that it writes: the same for no two stages."""
    return f"{stage.call.partition('<')[0]} {stage.writes[0].name if stage.writes else stage.arguments[-1]}"


def _process(stage: Stage, layers: dict[str, Layer], wires: dict[str, Wire], wiring: Wiring) -> Process:
    found = CALL.match(stage.call)
    model = KERNELS.get(VARIANT.sub("", found[1])) if found else None
    if found is None or model is None:
        raise ExportError(f"stage {stage.call!r} has no pattern in export/hls/patterns.py, so it cannot be scheduled")
    if found[2]:
        settings = Settings(layers[found[2]].wires, dict(layers[found[2]].constants))
    elif found[5]:
        port = next(port for port in (*wiring.inputs, *wiring.outputs) if port.name == found[5])
        constants = {"STEP": port.step, "STEPS": port.steps, "SLOTS": port.slots}
        settings = Settings({"in": port.wire, "out": port.wire}, constants)
    else:
        settings = Settings({"in": wires[found[3]], "out": wires[found[4] or found[3]]}, {})
    written = {stream.name for stream in stage.writes} | {port.name for port in wiring.outputs}
    reads = [name for name in stage.arguments if name not in written]
    writes = [name for name in stage.arguments if name in written]
    touched = model.touched(settings)
    frame = Frame(
        touched.iterations,
        {reads[index]: at for index, at in touched.reads.items()},
        {writes[index]: at for index, at in touched.writes.items()},
        touched.ahead,
    )
    return Process(stage_name(stage), model.latency + adders(settings), frame, model.passes)


def adders(s: Settings) -> int:
    """Levels of the tree that adds the products of a beat, a cycle each."""
    return (s.constants.get("SIMD", s.constants.get("WORD_TAPS", 1)) - 1).bit_length()


def every(count: int, step: int = 1, first: int = 0) -> IntArray:
    """first, first + step, ...: so many."""
    return np.arange(count, dtype=np.int64) * step + first


def where(mask: IntArray) -> IntArray:
    """The iterations in which something happens."""
    return np.flatnonzero(mask.ravel())


@kernel(2, "axi_in", takes="a word and a beat in registers, the multiplexers between them")
def axi_in(s: Settings) -> Touched:
    word, beat = s.x.lanes // s["STEP"], s["SLOTS"] // s["STEP"]  # steps of each
    return Touched(s["STEPS"], {0: every(-(-s["STEPS"] // beat), beat)}, {0: every(s.x.words, word, word - 1)})


@kernel(2, "axi_out", takes="a word and a beat in registers, the multiplexers between them")
def axi_out(s: Settings) -> Touched:
    word, beat = s.x.lanes // s["STEP"], s["SLOTS"] // s["STEP"]  # steps of each
    sent = np.minimum(every(-(-s["STEPS"] // beat), beat, beat - 1), s["STEPS"] - 1)
    return Touched(s["STEPS"], {0: every(s.x.words, word)}, {0: sent})


@kernel(1, "fork", takes="wires")
def fork(s: Settings) -> Touched:
    at = every(s.x.words)
    return Touched(s.x.words, {0: at}, {0: at, 1: at})


@kernel(
    3,
    "relu",
    "clamp",
    "requantize",
    "lookup",
    passes=True,
    takes="comparators, an adder or a table per lane",
)
def one_to_one(s: Settings) -> Touched:
    at = every(s.x.words)
    return Touched(s.x.words, {0: at}, {0: at})


@kernel(5, "affine", "prelu", passes=True, takes="a multiplication per lane, an adder or a choice behind it, a table of constants")
def one_to_one_product(s: Settings) -> Touched:
    return one_to_one(s)


@kernel(8, "conv2d_pixels", takes="RUN * PE * SIMD multiplications by constants and RUN * PE adder trees")
@kernel(6, "conv2d_depthwise_pixels", takes="WORD_TAPS multiplications by constants and an adder tree per lane")
@kernel(4, "max_pool2d_pixels", "avg_pool2d_pixels", takes="WORD_TAPS comparators or adders per lane")
@kernel(6, "avg_pool2d_pixels_scaled", takes="WORD_TAPS adders and a multiplication per lane")
def whole_windows(s: Settings) -> Touched:
    """A word of windows for a word of results."""
    at = every(s.out.words)
    return Touched(s.out.words, {0: at}, {0: at})


@kernel(3, "add", "add_minus", takes="an adder per lane")
def add(s: Settings) -> Touched:
    at = every(s.out.words)
    return Touched(s.out.words, {0: at, 1: at}, {0: at})


@kernel(5, "multiply_values", takes="a multiplication per lane")
def multiply_values(s: Settings) -> Touched:
    at = every(s.out.words)
    return Touched(s.out.words, {1: at, 0: at}, {0: at})


@kernel(5, "multiply_channels", takes="a multiplication per lane, a frame of factors")
def multiply_channels(s: Settings) -> Touched:
    at = every(s.out.words)
    return Touched(s.out.words, {1: every(s.x.groups), 0: at}, {0: at})


def window_rows(s: Settings, sent: IntArray) -> Touched:
    """A stage that sends the windows of one row after another while it reads the rows ahead.

    Args:
        sent: the steps of a row that send a word.
    """
    beats, rows = s["BEATS"], every(s.out.height)[:, None]
    reads = rows * beats + every(s["READS"], s["READ_EVERY"])
    return Touched(
        s.out.height * beats,
        {0: reads.ravel()[: s["FRAME_WORDS"]]},
        {0: (rows * beats + sent * s["SCAN_EVERY"]).ravel()},
        s["AHEAD"],
    )


@kernel(3, "sliding_window", takes="LINES image rows of memory, a choice of one of them per word, counters")
@kernel(3, "sliding_window_columns", takes="LINES image rows of memory, a choice of one of them per kernel row, counters")
def sliding_window(s: Settings) -> Touched:
    return window_rows(s, every(s["SCAN"]))


@kernel(3, "sliding_window_pixels", takes="LINES image rows of memory, words in registers per kernel row, counters")
def sliding_window_pixels(s: Settings) -> Touched:
    return window_rows(s, every(s["SCAN"] - s["FILL_WORDS"], 1, s["FILL_WORDS"]))


@kernel(3, "sliding_window_taps", takes="LINES image rows of memory, a register per kernel position, counters")
def sliding_window_taps(s: Settings) -> Touched:
    columns = every(s["SCAN"] // s.x.groups) - s["FILL_COLUMNS"]
    complete = (columns >= 0) & (columns % s["STRIDE_COLUMNS"] == 0)
    return window_rows(s, where(np.repeat(complete, s.x.groups)))


@kernel(2, "pick_pixels", takes="counters")
def pick_pixels(s: Settings) -> Touched:
    picked = np.zeros((s.x.height, s["COLUMNS"], s.x.groups), np.int64)
    picked[:: s["STRIDE_ROWS"], :: s["STRIDE_COLUMNS"]] = 1
    return Touched(picked.size, {0: every(picked.size)}, {0: where(picked)})


@kernel(2, "convert_wider", takes="a word in registers")
def convert_wider(s: Settings) -> Touched:
    ratio = s.out.lanes // s.x.lanes
    return Touched(s.x.words, {0: every(s.x.words)}, {0: every(s.out.words, ratio, ratio - 1)})


@kernel(2, "convert_narrower", takes="a word in registers")
def convert_narrower(s: Settings) -> Touched:
    return Touched(s.out.words, {0: every(s.x.words, s.x.lanes // s.out.lanes)}, {0: every(s.out.words)})


@kernel(
    8,
    "conv2d",
    "linear",
    takes="SIMD * PE multiplications, PE adder trees and accumulators, weights, a window's words",
)
def matrix_vector(s: Settings) -> Touched:
    window, outputs = s["WINDOW_WORDS"], s["WINDOW_GROUPS"]
    starts = every(s["WINDOWS"], outputs * window)[:, None]
    count = s.out.words * window
    return Touched(count, {0: (starts + every(window)).ravel()}, {0: every(s.out.words, window, window - 1)})


@kernel(4, "max_pool2d", "avg_pool2d", takes="WORD_TAPS comparators or adders per lane")
@kernel(6, "avg_pool2d_scaled", "avg_pool2d_places", takes="WORD_TAPS adders and a multiplication per lane")
@kernel(
    6,
    "conv2d_depthwise",
    takes="per lane WORD_TAPS multiplications, an adder tree and an accumulator; weights",
)
def word_by_word(s: Settings) -> Touched:
    """A word of results for so many words of a window."""
    words = s["TAP_WORDS"]
    count = s.out.words * words
    return Touched(count, {0: every(count)}, {0: every(s.out.words, words, words - 1)})


@kernel(3, "argmax", takes="a comparator")
def argmax(s: Settings) -> Touched:
    codes = s.x.words * s.x.lanes
    return Touched(codes, {0: every(s.x.words, s.x.lanes)}, {0: every(1, 1, codes - 1)})


def parts(s: Settings) -> Iterator[tuple[int, Wire, int, int]]:
    """The operands of a concatenation: number, wire, the first place in a turn and the one behind the last."""
    start = 0
    for index, wire in enumerate(wire for name, wire in s.wires.items() if name != "out"):
        yield index, wire, start, s[f"END_{index}"]
        start = s[f"END_{index}"]


@kernel(3, "concat_words", takes="a shift per lane and a choice of inputs")
def concat_words(s: Settings) -> Touched:
    steps = every(s.out.words).reshape(s["TURNS"], s["TURN_WORDS"])
    return Touched(steps.size, {i: steps[:, start:end].ravel() for i, _, start, end in parts(s)}, {0: steps.ravel()})


@kernel(3, "concat", takes="a shift and a choice of inputs and lanes")
def concat(s: Settings) -> Touched:
    steps = every(s.out.pixels * s.out.channels).reshape(-1, s.out.channels)
    reads = {i: steps[:, start : end : wire.lanes].ravel() for i, wire, start, end in parts(s)}
    return Touched(steps.size, reads, {0: every(s.out.words, s.out.lanes, s.out.lanes - 1)})


@kernel(3, "pad", takes="counters")
def pad(s: Settings) -> Touched:
    inside = np.zeros((s.out.height, s["COLUMNS"], s.out.groups), np.int64)
    inside[s["ABOVE"] :, s["LEFT"] :][: s.x.height, : s["X_COLUMNS"]] = 1
    return Touched(inside.size, {0: where(inside)}, {0: every(inside.size)})


@kernel(3, "upsample", takes="an image row of memory, counters")
def upsample(s: Settings) -> Touched:
    first = np.zeros((s.x.height, s["ROW_FACTOR"], s.x.width, s["COLUMN_FACTOR"], s.x.groups), np.int64)
    first[:, 0, :, 0] = 1
    return Touched(first.size, {0: where(first)}, {0: every(first.size)})


@kernel(3, "upsample_zeros", takes="counters")
def upsample_zeros(s: Settings) -> Touched:
    there = np.zeros((s.out.height, s["COLUMNS"], s.out.groups), np.int64)
    there[:: s["ROW_FACTOR"], :: s["COLUMN_FACTOR"]] = 1
    return Touched(there.size, {0: where(there)}, {0: every(there.size)})


@kernel(3, "reshape", "rearrange", "rearrange_table", takes="a frame of memory, counters or a table of addresses")
def through_memory(s: Settings) -> Touched:
    size = s["SIZE"]
    return Touched(2 * size, {0: every(s.x.words, s.x.lanes)}, {0: every(s.out.words, s.out.lanes, size + s.out.lanes - 1)})


def kept(s: Settings) -> IntArray:
    """Where a slice keeps what it reads: (row, column, channel or group)."""
    mask = np.zeros((s.x.height, s["COLUMNS"], s["CHANNELS"]), np.int64)
    rows, columns, channels = (
        slice(s[f"START_{axis}"], s[f"LAST_{axis}"] + 1, s[f"STEP_{axis}"]) for axis in ("ROW", "COLUMN", "CHANNEL")
    )
    mask[rows, columns, channels] = 1
    return mask


@kernel(3, "slice_words", takes="counters")
def slice_words(s: Settings) -> Touched:
    mask = kept(s)
    return Touched(mask.size, {0: every(mask.size)}, {0: where(mask)})


@kernel(3, "slice", takes="counters")
def slice_codes(s: Settings) -> Touched:
    mask = kept(s)
    lanes = s.out.lanes
    return Touched(mask.size, {0: every(s.x.words, s.x.lanes)}, {0: where(mask)[lanes - 1 :: lanes]})
