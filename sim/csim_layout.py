"""How codes lie in the streams of a compiled project: `hls/layout.json`, and words to codes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qfx.errors import ProjectError
from qfx.files import File
from qfx.fixed import FixedType, IntArray
from qfx.ir import Value
from qfx.records import read_record

VERSION = 2


@dataclass(frozen=True)
class StreamWords:
    """What a stream carried.

    Attributes:
        width: bits of a word.
        chunks: (word, chunk) 64-bit chunks, the low one first.
    """

    width: int
    chunks: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class PortLayout:
    """An AXI stream of the top function.

    Attributes:
        value: graph value that it carries.
        slot_width: bits of a code in a beat.
        slots: codes of a beat.
        port, beat: C++ names of the stream and of the type of its beats; a single port has no need to state them.
    """

    value: str
    slot_width: int
    slots: int
    port: str = ""
    beat: str = ""


@dataclass(frozen=True)
class Flow:
    """A stream of the top function, or a port.

    Attributes:
        words: that it carries a frame; beats of a port.
        writer, reader: the stages at its ends, as the top function calls them: `conv2d<layer::stem>`; empty for what lies outside.
    """

    words: int
    writer: str
    reader: str


@dataclass(frozen=True)
class Layout:
    """What `layout.json` says.

    Attributes:
        top: name of the top function and of its files.
        inputs, outputs: the AXI streams, in the order of the top function's parameters.
        frame_words: words that all streams together hold after one frame.
        streams: stream of each value.
        lanes: codes per word of each value.
        live_depths: the deadlock-free depths of the streams, as the export's schedule found them.
        flows: every stream and port by its C++ name, in the order of the stages that write them; empty for older projects.
    """

    top: str
    inputs: tuple[PortLayout, ...]
    outputs: tuple[PortLayout, ...]
    frame_words: int
    streams: dict[str, str]
    lanes: dict[str, int]
    live_depths: dict[str, int]
    flows: dict[str, Flow] = field(default_factory=dict[str, Flow])


@dataclass(frozen=True)
class _Place:
    stream: str
    lanes: int


@dataclass(frozen=True)
class _LayoutFile:
    """The JSON: `input` of a single port, or the list `inputs` of several."""

    top: str
    frame_words: int
    values: dict[str, _Place]
    live_depths: dict[str, int] = field(default_factory=dict[str, int])  # older projects lack them
    flows: dict[str, Flow] = field(default_factory=dict[str, Flow])  # and these
    input: PortLayout | None = None
    inputs: tuple[PortLayout, ...] = ()
    output: PortLayout | None = None
    outputs: tuple[PortLayout, ...] = ()


def load_layout(hls: File, activations: Collection[str] = ()) -> Layout:
    """Read `layout.json` of an `hls/` folder.

    Args:
        activations: names of the graph's values, all of which need a stream.

    Raises:
        ProjectError: missing, unreadable, of another version, or without one of the values.
    """
    path = Path(hls, "layout.json")
    found = read_record(path, _LayoutFile, VERSION)
    for name in activations:
        if name not in found.values:
            raise ProjectError(f"{path} names no stream for value {name!r}; export the project again")
    return Layout(
        found.top,
        found.inputs if found.input is None else (replace(found.input, port="s_in", beat="input_beat"),),
        found.outputs if found.output is None else (replace(found.output, port="m_out", beat="output_beat"),),
        found.frame_words,
        {name: place.stream for name, place in found.values.items()},
        {name: place.lanes for name, place in found.values.items()},
        found.live_depths,
        found.flows,
    )


def to_beats(codes: IntArray) -> IntArray:
    """Codes (frame, channel, ...) in the order of a stream: (frame, row, column, channel)."""
    return np.ascontiguousarray(np.moveaxis(codes, 1, -1)).ravel()


def from_beats(codes: IntArray, shape: tuple[int, ...]) -> IntArray:
    """The reverse of `to_beats`: (frame, *shape)."""
    return np.moveaxis(codes.reshape(-1, *shape[1:], shape[0]), -1, 1)


def unpack_words(words: StreamWords, value: Value, lanes: int, stream: str, frames: int) -> IntArray:
    """The codes (frame, *shape) of a value in the words of its stream.

    Raises:
        ProjectError: the number of words or their width does not fit.
    """
    wanted = frames * value.size // lanes
    if len(words.chunks) != wanted:
        raise ProjectError(
            f"stream {stream!r} of value {value.name!r} carried {len(words.chunks)} words, wanted {wanted} for {frames} frames"
        )
    if words.width != lanes * value.type.width:
        raise ProjectError(
            f"stream {stream!r} of value {value.name!r} has words of {words.width} bits,"
            f" wanted {lanes} codes of {value.type.ap_name}"
        )
    codes = np.stack([_lane(words.chunks, lane * value.type.width, value.type) for lane in range(lanes)], axis=1)
    return from_beats(codes.ravel(), value.shape)


def _lane(words: npt.NDArray[np.uint64], low: int, type: FixedType) -> IntArray:
    """The codes at bit `low` of each word."""
    chunk, offset = divmod(low, 64)
    bits = words[:, chunk] >> np.uint64(offset)
    if offset + type.width > 64:
        bits = bits | words[:, chunk + 1] << np.uint64(64 - offset)
    codes = (bits & np.uint64((1 << type.width) - 1)).astype(np.int64)
    if type.signed:
        codes -= (codes & (1 << (type.width - 1))) << 1
    return codes
