"""Execution with bounded streams, time left out of account: does it run to its end, and if not, who waits for whom?"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qfx.export.schedule.network import Network, Pattern


@dataclass(frozen=True)
class Waiting:
    """A process that cannot go on.

    Attributes:
        process: its name.
        stream: that it waits for.
        why: `empty` if it wants to read, `full` if it wants to write.
        words: in the stream.
    """

    process: str
    stream: str
    why: str
    words: int

    def __str__(self) -> str:
        what = "reads" if self.why == "empty" else "writes"
        return f"{self.process} {what} {self.stream}, which is {self.why} ({self.words} words)"


def deadlock(network: Network, depths: Mapping[str, int], frames: int) -> list[Waiting]:
    """The cycle of processes that wait for each other; empty if the batch runs to its end.

    Args:
        depths: by stream; a stream that is missing is unbounded.
    """
    execution = _Execution(network, depths, frames)
    todo = [process.name for process in network.processes]
    while todo:
        todo = list(dict.fromkeys(other for name in todo for other in execution.advance(name)))
    stuck = {name: waiting for name in execution.ops if (waiting := execution.waiting(name)) is not None}
    path: list[Waiting] = []
    name = next(iter(stuck), None)
    while name is not None and name not in [waiting.process for waiting in path]:
        path.append(stuck[name])
        ends = network.writer if path[-1].why == "empty" else network.reader
        name = ends.get(path[-1].stream)
    return path[[waiting.process for waiting in path].index(name) :] if name is not None else []


class _Execution:
    """How far every process has come."""

    def __init__(self, network: Network, depths: Mapping[str, int], frames: int) -> None:
        self.network, self.depths = network, depths
        self.ops: dict[str, dict[tuple[str, str], list[int]]] = {}  # per process and (stream, end): the op of each word
        self.total: dict[str, int] = {}
        self.at = dict.fromkeys(network.patterns(frames), 0)  # ops done
        self.moved = {(stream, end): 0 for stream in network.streams for end in ("empty", "full")}  # words read and written
        for name, pattern in network.patterns(frames).items():
            self.ops[name], self.total[name] = _op_order(pattern)

    def advance(self, name: str) -> list[str]:
        """Let a process do all that it can; returns the processes that may go on then."""
        limit = min([self.total[name], *(self._bound(ops, key) for key, ops in self.ops[name].items())])
        if limit == self.at[name]:
            return []
        self.at[name] = limit
        touched: list[str] = []
        for (stream, end), ops in self.ops[name].items():
            if (stream, end) in self.moved:
                now = bisect_left(ops, limit, self.moved[stream, end])
                if now != self.moved[stream, end]:
                    self.moved[stream, end] = now
                    touched.append((self.network.writer if end == "empty" else self.network.reader)[stream])
        return touched

    def _bound(self, ops: list[int], key: tuple[str, str]) -> int:
        """The first op of a process that an end of a stream does not let it do."""
        stream, end = key
        if key not in self.moved or (end == "full" and stream not in self.depths):
            return 1 << 60
        word = self.moved[stream, "full"] if end == "empty" else self.moved[stream, "empty"] + self.depths[stream]
        return ops[word] if word < len(ops) else 1 << 60

    def waiting(self, name: str) -> Waiting | None:
        """What a process that has not ended waits for."""
        for (stream, end), ops in self.ops[name].items():
            if self._bound(ops, (stream, end)) == self.at[name] < self.total[name]:
                return Waiting(name, stream, end, self.moved[stream, "full"] - self.moved[stream, "empty"])
        return None


def _op_order(pattern: Pattern) -> tuple[dict[tuple[str, str], list[int]], int]:
    """Number the reads and writes of a process in the order of the program."""
    sides = [((stream, "empty"), at) for stream, at in pattern.reads.items()]
    sides += [((stream, "full"), at) for stream, at in pattern.writes.items()]
    keys = np.concatenate([at * len(sides) + number for number, (_, at) in enumerate(sides)])
    places = np.empty(len(keys), np.int64)
    places[np.argsort(keys)] = np.arange(len(keys))
    found: dict[tuple[str, str], list[int]] = {}
    start = 0
    for key, at in sides:
        found[key] = places[start : start + len(at)].tolist()
        start += len(at)
    return found, len(keys)
