"""Deadlock-free depths: the least at which a network runs to its end, time left out of account.

Only order counts here: a process does its reads and writes one after the other, in the order of the program, and waits where a
stream is empty or full. Only a process with several outputs can fill one stream while another one starves, so all other streams
need one place. For each output X of such a process, the last ones first:

    n(op) = words that must have been written to X before an op can be done, streams as deep as found so far, X unbounded

is the least solution of max equations over all ops (a read waits for its word, a write for the read that makes place). Word k is
written where nothing else can go on, so the most words that X holds are max over k of k + 1 - (reads of X with n <= k).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from qfx.export.schedule.network import Network, Pattern, at_events, raise_at
from qfx.fixed import IntArray

Counts = dict[str, IntArray]


@dataclass(frozen=True)
class _Accesses:
    """The reads, or the writes, of a process at one stream.

    Attributes:
        steps: for each word the event, of all those of the process.
    """

    stream: str
    writes: bool
    steps: IntArray


@dataclass(frozen=True)
class _Course:
    """The ops of a process in the order of the program, and the number of its events."""

    ops: list[_Accesses]
    count: int


def _course(pattern: Pattern) -> _Course:
    sides = ((pattern.reads, False), (pattern.writes, True))
    return _Course([_Accesses(stream, writes, at) for side, writes in sides for stream, at in side.items()], len(pattern.events))


def live_depths(network: Network, frames: int) -> dict[str, int]:
    """Per stream the least depth, given that the others have theirs: execution ends, and one place fewer stops it.

    The streams behind a process with several outputs are settled before those in front of it, so words wait as far up as they can.
    """
    depths = {
        stream: 1
        for process in network.processes
        for outputs in [network.internal(process.frame.writes)]
        for stream in outputs
        if len(outputs) == 1
    }
    courses = {name: _course(pattern) for name, pattern in network.patterns(frames).items()}
    for process in reversed(network.processes):
        outputs = network.internal(process.frame.writes)
        if len(outputs) > 1:
            for stream in reversed(outputs):
                depths[stream] = _Progress(network, courses, stream, depths).most_held()
    return depths


class _Progress:
    """n(op) of the ops around one stream.

    Args:
        stream: X.
        depths: of the streams that are bounded.
    """

    def __init__(self, network: Network, courses: dict[str, _Course], stream: str, depths: dict[str, int]) -> None:
        self.network, self.courses, self.stream, self.depths = network, courses, stream, depths
        self.place = {process.name: index for index, process in enumerate(network.processes)}
        self.read = Counts()
        self.written = Counts()
        self.holds_back = self._holding_back()
        self.end = self._end()

    def most_held(self) -> int:
        """Most words of X, over all of its writes."""
        todo = {self.network.writer[self.stream], self.network.reader[self.stream]}
        order = [process.name for process in self.network.processes]
        while todo:  # once down the network, once up, until nothing changes
            for name in order:
                if name in todo:
                    todo.discard(name)
                    todo.update(self._solve(name))
            order.reverse()
        read = self.read.get(self.stream)
        if read is None:
            return 1
        k = np.arange(len(read))
        return max(1, int((k + 1 - np.searchsorted(read, k, side="right")).max(initial=1)))

    def _solve(self, name: str) -> list[str]:
        """Solve the equations of one process; returns the neighbours that its new values touch."""
        course = self.courses[name]
        limits = [(op, self._limit(op)) for op in course.ops]
        done = np.zeros(course.count, np.int64)
        for op, limit in limits:
            if limit is not None:
                raise_at(done, op.steps, limit)
        np.maximum.accumulate(done, out=done)
        now = np.concatenate([np.zeros(1, np.int64), done[:-1]])  # as a step starts; after each of its ops, below
        touched: list[str] = []
        for op, limit in limits:
            if limit is not None:
                raise_at(now, op.steps, limit)
            touched += self._store(op, np.array(at_events(now, op.steps), np.int64))
        return touched

    def _limit(self, op: _Accesses) -> IntArray | None:
        """n at which each read has its word, or each write its place; None where there is always one."""
        if not op.writes:
            return self.written.get(op.stream)
        if op.stream == self.stream:
            return np.arange(1, len(op.steps) + 1)
        read, depth = self.read.get(op.stream), self.depths.get(op.stream)
        if read is None or depth is None:
            return None
        return np.concatenate([np.zeros(min(depth, len(read)), np.int64), read[: max(0, len(read) - depth)]])

    def _store(self, op: _Accesses, found: IntArray) -> list[str]:
        """Keep the values of an op; returns the process at the other end of the stream if it has to be solved again."""
        counts, ends = (self.written, self.network.reader) if op.writes else (self.read, self.network.writer)
        before, other = counts.get(op.stream), ends.get(op.stream)
        if other is None or (not found.any() if before is None else np.array_equal(before, found)):
            return []
        counts[op.stream] = found
        if op.writes:
            return [other] if self.place[other] <= self.end else []
        return [other] if op.stream in self.depths and op.stream != self.stream and self.holds_back[other] else []

    def _holding_back(self) -> dict[str, bool]:
        """Whether anything else notices that a process cannot write."""
        result: dict[str, bool] = {}
        for name, course in self.courses.items():
            inside = [op.stream for op in course.ops if not op.writes and op.stream in self.network.writer]
            result[name] = sum(op.writes for op in course.ops) > 1 or any(
                stream == self.stream or (stream in self.depths and result[self.network.writer[stream]]) for stream in inside
            )
        return result

    def _end(self) -> int:
        """The first process behind X through which everything has to go: what follows it takes all that it sends."""
        writer, reader = self.network.writer, self.network.reader
        behind = {writer[self.stream]}
        for name, course in self.courses.items():
            if any(not op.writes and writer.get(op.stream) in behind for op in course.ops):
                behind.add(name)
        opened = [0] * (len(self.place) + 1)
        for stream in self.network.streams:
            if stream in self.depths or stream == self.stream or writer[stream] in behind:
                opened[self.place[writer[stream]]] += 1
                opened[self.place[reader[stream]]] -= 1
        first = self.place[writer[self.stream]]
        crossing = list(accumulate(opened))
        return next((place for place in range(first + 1, len(self.place)) if crossing[place] <= 1), len(self.place) - 1)
