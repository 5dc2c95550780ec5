"""Cyclo-static processes and the streams between them.

A process is one loop: an iteration a cycle (II=1), the same iterations in every batch of so many frames, whatever the data. An
iteration first reads, then writes, at most one word of each stream. What it writes leaves `latency` cycles after it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from qfx.errors import ExportError
from qfx.fixed import IntArray


@dataclass(frozen=True)
class Pattern:
    """When a process touches its streams.

    Attributes:
        iterations: of the loop in the whole batch.
        reads, writes: per stream, in the order of the program, the iteration of each word: (words,), ascending, none twice.
    """

    iterations: int
    reads: Mapping[str, IntArray]
    writes: Mapping[str, IntArray]


@dataclass(frozen=True)
class Process:
    """A stage.

    Attributes:
        name: unique.
        latency: cycles from an iteration's start to its words' arrival in their streams, at least 1.
        pattern: number of frames -> what the batch does.
        passes: whether words had better wait behind it than in front of it; only for one that has one input.
    """

    name: str
    latency: int
    pattern: Callable[[int], Pattern]
    passes: bool = False


def repeated(frame: Pattern) -> Callable[[int], Pattern]:
    """A pattern that is the same in every frame."""

    def pattern(frames: int) -> Pattern:
        starts = np.arange(frames, dtype=np.int64)[:, None] * frame.iterations
        tiled = [{name: (starts + at).ravel() for name, at in side.items()} for side in (frame.reads, frame.writes)]
        return Pattern(frames * frame.iterations, tiled[0], tiled[1])

    return pattern


@dataclass
class Network:
    """Processes, each after those whose words it reads, and who is at the ends of each stream.

    Attributes:
        writer, reader: process by stream; a stream without a writer is an input port, one without a reader an output port.

    Raises:
        ExportError: two processes of a name, a stream with two readers or writers, or a reader before its writer.
    """

    processes: list[Process]
    writer: dict[str, str] = field(default_factory=dict[str, str])
    reader: dict[str, str] = field(default_factory=dict[str, str])
    _runs: dict[int, dict[str, Pattern]] = field(default_factory=dict[int, dict[str, Pattern]])

    def __post_init__(self) -> None:
        names = [process.name for process in self.processes]
        if len(set(names)) != len(names):
            raise ExportError(f"two processes are named alike among {', '.join(names)}")
        for name, pattern in self.patterns(1).items():
            for stream in pattern.reads:
                _claim(self.reader, stream, name, "read")
            for stream in pattern.writes:
                if stream in self.reader:
                    raise ExportError(f"stream {stream!r} is read by {self.reader[stream]!r} before {name!r} writes it")
                _claim(self.writer, stream, name, "written")
        for stream in self.streams:
            sent, taken = self.patterns(1)[self.writer[stream]].writes[stream], self.patterns(1)[self.reader[stream]].reads[stream]
            if len(sent) != len(taken):
                raise ExportError(
                    f"stream {stream!r}: {self.writer[stream]!r} writes {len(sent)} words a frame, {self.reader[stream]!r} reads"
                    f" {len(taken)}"
                )

    @cached_property
    def streams(self) -> list[str]:
        """Those between two processes, in the order of their writers."""
        return [stream for stream in self.writer if stream in self.reader]

    def patterns(self, frames: int) -> dict[str, Pattern]:
        """The pattern of every process for a batch."""
        if frames not in self._runs:
            self._runs[frames] = {process.name: process.pattern(frames) for process in self.processes}
        return self._runs[frames]

    def frame_iterations(self, process: str) -> int:
        """Iterations that one more frame takes."""
        return self.patterns(2)[process].iterations - self.patterns(1)[process].iterations

    def internal(self, streams: Iterable[str]) -> list[str]:
        """Those that lie between two processes."""
        return [stream for stream in streams if stream in self.writer and stream in self.reader]


def _claim(ends: dict[str, str], stream: str, process: str, what: str) -> None:
    if stream in ends:
        raise ExportError(f"stream {stream!r} is {what} by {ends[stream]!r} and by {process!r}")
    ends[stream] = process
