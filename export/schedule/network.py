"""Cyclo-static processes and the streams between them.

A process is one loop: an iteration a cycle (II=1), the same iterations in every batch of so many frames, whatever the data. An
iteration first reads, then writes, at most one word of each stream. What it writes leaves `latency` cycles after it begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from qfx.errors import ExportError
from qfx.fixed import IntArray


@dataclass(frozen=True)
class Frame:
    """What a process does for one frame.

    Attributes:
        iterations: of its loop.
        reads, writes: per stream, in the order of the program, the iteration of each word: (words,), ascending, none twice.
        ahead: words of its input, the only one then, that it reads before the first frame, one an iteration. Each frame reads
            the words behind them, and the last one of a batch as many fewer.
    """

    iterations: int
    reads: Mapping[str, IntArray]
    writes: Mapping[str, IntArray]
    ahead: int = 0

    @property
    def frames_ahead(self) -> float:
        """How far it reads into the next frame, in frames."""
        return self.ahead / max(1, *(len(at) for at in self.reads.values())) if self.ahead else 0.0

    def batch(self, frames: int) -> Pattern:
        """The pattern of a batch of one frame or more."""
        touched = np.zeros(self.iterations, bool)
        for at in (*self.reads.values(), *self.writes.values()):
            touched[at] = True
        places, event = np.flatnonzero(touched), np.cumsum(touched) - 1
        number = np.arange(frames, dtype=np.int64)[:, None]
        prologue = np.arange(self.ahead, dtype=np.int64)

        def repeated(at: IntArray) -> IntArray:
            return (self.ahead + number * len(places) + event[at]).ravel()

        events = np.concatenate([prologue, (self.ahead + number * self.iterations + places).ravel()])
        reads = {name: np.concatenate([prologue, repeated(at)])[: frames * len(at)] for name, at in self.reads.items()}
        return Pattern(events, reads, {name: repeated(at) for name, at in self.writes.items()})


@dataclass(frozen=True)
class Pattern:
    """What a process does for a batch.

    Attributes:
        events: the iterations that touch a stream, ascending: (events,).
        reads, writes: per stream, in the order of the program, the event of each word: (words,), ascending, none twice.
    """

    events: IntArray
    reads: dict[str, IntArray]
    writes: dict[str, IntArray]


def at_events(values: IntArray, events: IntArray) -> IntArray:
    """The values of these events, all different and ascending; not a copy if they are all that there are."""
    return values if len(events) == len(values) else values[events]


def raise_at(values: IntArray, events: IntArray, least: IntArray) -> None:
    """Raise the values of these events, all different and ascending, to these at least."""
    if len(events) == len(values):
        np.maximum(values, least, out=values)
    else:
        values[events] = np.maximum(values[events], least)


class Process(Protocol):
    """What the schedule sees of a stage."""

    @property
    def name(self) -> str:
        """Unique."""
        ...

    @property
    def latency(self) -> int:
        """Cycles from an iteration's start to its words' arrival in their streams, at least 1."""
        ...

    @property
    def frame(self) -> Frame:
        """What it does for each frame."""
        ...

    @property
    def passes(self) -> bool:
        """Whether words had better wait behind it than in front of it; only for one that has one input."""
        ...


@dataclass
class Network:
    """Processes, each after those whose words it reads, and who is at the ends of each stream.

    Attributes:
        process: by name, in the same order.
        writer, reader: process by stream; a stream without a writer is an input port, one without a reader an output port.

    Raises:
        ExportError: two processes of a name, a stream with two readers or writers, or a reader before its writer.
    """

    processes: Sequence[Process]
    process: dict[str, Process] = field(init=False)
    writer: dict[str, str] = field(default_factory=dict[str, str], init=False)
    reader: dict[str, str] = field(default_factory=dict[str, str], init=False)
    _patterns: tuple[int, dict[str, Pattern]] = field(default=(0, {}), init=False)

    def __post_init__(self) -> None:
        self.process = {process.name: process for process in self.processes}
        if len(self.process) != len(self.processes):
            raise ExportError(f"two processes are named alike among {', '.join(process.name for process in self.processes)}")
        for name, process in self.process.items():
            for stream in process.frame.reads:
                _claim(self.reader, stream, name, "read")
            for stream in process.frame.writes:
                if stream in self.reader:
                    raise ExportError(f"stream {stream!r} is read by {self.reader[stream]!r} before {name!r} writes it")
                _claim(self.writer, stream, name, "written")
        for stream in self.streams:
            writer, reader = self.writer[stream], self.reader[stream]
            sent, taken = len(self.process[writer].frame.writes[stream]), len(self.process[reader].frame.reads[stream])
            if sent != taken:
                raise ExportError(f"stream {stream!r}: {writer!r} writes {sent} words a frame, {reader!r} reads {taken}")

    @cached_property
    def streams(self) -> list[str]:
        """Those between two processes, in the order of their writers."""
        return [stream for stream in self.writer if stream in self.reader]

    @cached_property
    def frames_ahead(self) -> float:
        """How many frames the processes of one path read ahead together, at most."""
        until: dict[str, float] = {}
        for name, process in self.process.items():
            before = [until[self.writer[stream]] for stream in self.internal(process.frame.reads)]
            until[name] = max(before, default=0.0) + process.frame.frames_ahead
        return max(until.values())

    def patterns(self, frames: int) -> dict[str, Pattern]:
        """The pattern of every process for a batch; those of the last batch are kept."""
        if frames != self._patterns[0]:
            self._patterns = 0, {}
            self._patterns = frames, {process.name: process.frame.batch(frames) for process in self.processes}
        return self._patterns[1]

    def internal(self, streams: Iterable[str]) -> list[str]:
        """Those that lie between two processes."""
        return [stream for stream in streams if stream in self.writer and stream in self.reader]


def _claim(ends: dict[str, str], stream: str, process: str, what: str) -> None:
    if stream in ends:
        raise ExportError(f"stream {stream!r} is {what} by {ends[stream]!r} and by {process!r}")
    ends[stream] = process
