"""The least depths at which a network runs to its end, time left out of account.

Only order counts here: a process does its reads and writes one after the other, in the order of the program, and waits where a
stream is empty or full. Only a process with several outputs can fill one stream while another one starves, so all other streams
need one place. For each output X of such a process, the last ones first:

    n(op) = words that must have been written to X before an op can be done, streams as deep as found so far, X unbounded

is the least solution of max equations over all ops (a read waits for its word, a write for the read that makes place). Word k is
written where nothing else can go on, so the most words that X holds are max over k of k + 1 - (reads of X with n <= k).
"""

from __future__ import annotations

import numpy as np

from qfx.export.schedule.network import Network, Pattern
from qfx.fixed import IntArray

Counts = dict[str, IntArray]


def live_depths(network: Network, frames: int) -> dict[str, int]:
    """Per stream the least depth, given that the others have theirs: execution ends, and one place fewer stops it.

    The streams behind a process with several outputs are settled before those in front of it, so words wait as far up as they can.
    """
    depths = {
        stream: 1
        for process in network.processes
        for outputs in [network.internal(network.patterns(1)[process.name].writes)]
        for stream in outputs
        if len(outputs) == 1
    }
    for process in reversed(network.processes):
        outputs = network.internal(network.patterns(1)[process.name].writes)
        if len(outputs) > 1:
            for stream in reversed(outputs):
                depths[stream] = _Progress(network, frames, stream, depths).most_held()
    return depths


class _Progress:
    """n(op) of the ops around one stream.

    Args:
        stream: X.
        depths: of the streams that are bounded.
    """

    def __init__(self, network: Network, frames: int, stream: str, depths: dict[str, int]) -> None:
        self.network, self.stream, self.depths = network, stream, depths
        self.patterns = network.patterns(frames)
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
        pattern = self.patterns[name]
        sides = [(stream, side, at) for side, ats in enumerate((pattern.reads, pattern.writes)) for stream, at in ats.items()]
        steps = np.unique(np.concatenate([at for _, _, at in sides]))
        ops = [(stream, side, np.searchsorted(steps, at), self._limit(stream, side, pattern)) for stream, side, at in sides]
        done = np.zeros(len(steps), np.int64)
        for _, _, where, limit in ops:
            if limit is not None:
                done[where] = np.maximum(done[where], limit)
        np.maximum.accumulate(done, out=done)
        now = np.concatenate([np.zeros(1, np.int64), done[:-1]])  # as a step starts; after each of its ops, below
        touched: list[str] = []
        for stream, side, where, limit in ops:
            if limit is not None:
                now[where] = np.maximum(now[where], limit)
            touched += self._store(stream, side, now[where])
        return touched

    def _limit(self, stream: str, side: int, pattern: Pattern) -> IntArray | None:
        """n at which each read (side 0) has its word or each write (side 1) its place; None where there is always one."""
        if side == 0:
            return self.written.get(stream)
        if stream == self.stream:
            return np.arange(1, len(pattern.writes[stream]) + 1)
        read, depth = self.read.get(stream), self.depths.get(stream)
        if read is None or depth is None:
            return None
        return np.concatenate([np.zeros(min(depth, len(read)), np.int64), read[: max(0, len(read) - depth)]])

    def _store(self, stream: str, side: int, found: IntArray) -> list[str]:
        network = self.network
        counts, other = (self.read, network.writer.get(stream)) if side == 0 else (self.written, network.reader.get(stream))
        before = counts.get(stream)
        if other is None or (not found.any() if before is None else np.array_equal(before, found)):
            return []
        counts[stream] = found
        if side == 1:
            return [other] if self.place[other] <= self.end else []
        return [other] if stream in self.depths and stream != self.stream and self.holds_back[other] else []

    def _holding_back(self) -> dict[str, bool]:
        """Whether anything else notices that a process cannot write."""
        result: dict[str, bool] = {}
        for process in self.network.processes:
            pattern = self.patterns[process.name]
            result[process.name] = len(pattern.writes) > 1 or any(
                stream == self.stream or (stream in self.depths and result[self.network.writer[stream]])
                for stream in self.network.internal(pattern.reads)
            )
        return result

    def _end(self) -> int:
        """The first process behind X through which everything has to go: what follows it takes all that it sends."""
        network = self.network
        first = self.place[network.writer[self.stream]]
        behind = {network.writer[self.stream]}
        for place, process in enumerate(network.processes[first:], first):
            if any(network.writer.get(stream) in behind for stream in self.patterns[process.name].reads):
                behind.add(process.name)
            crossing = [
                stream
                for stream in network.streams
                if self.place[network.writer[stream]] <= place < self.place[network.reader[stream]]
                and (stream in self.depths or stream == self.stream or network.writer[stream] in behind)
            ]
            if place > first and len(crossing) <= 1:
                return place
        return len(network.processes) - 1
