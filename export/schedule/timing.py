"""Clock cycles of every iteration: as soon as possible, and a schedule of the same rate that holds few words.

Both follow from max-plus equations over whole batches. With a(i) the cycle at which the words of iteration i are there,

    t(i) = max(t(i - 1) + 1, a(i)) = i + max over j <= i of (a(j) - j)

and backwards, with w(i) the last cycle at which iteration i may start for its words to be in time,

    d(i) = min(d(i + 1) - 1, w(i)) = i + min over j >= i of (w(j) - j)
"""

from __future__ import annotations

import numpy as np

from qfx.export.schedule.network import Network, Pattern
from qfx.fixed import IntArray

FAR = 1 << 60
"""Later than any cycle."""

Times = dict[str, IntArray]
"""The cycle at which each iteration of a process starts."""


def interval_of(network: Network) -> tuple[int, str]:
    """Cycles per frame in the steady state, those of the process with the most iterations, and its name."""
    cycles = {process.name: network.frame_iterations(process.name) for process in network.processes}
    critical = max(cycles, key=lambda name: cycles[name])
    return cycles[critical], critical


def as_soon_as_possible(network: Network, frames: int, interval: int) -> Times:
    """Every iteration as early as its words allow, streams unbounded; the words of frame n come to the ports at n * interval."""
    patterns, times = network.patterns(frames), Times()
    latency = {process.name: process.latency for process in network.processes}
    for process in network.processes:
        pattern = patterns[process.name]
        there = np.zeros(pattern.iterations, np.int64)
        for stream, at in pattern.reads.items():
            writer = network.writer.get(stream)
            if writer is None:
                arrival = np.arange(len(at), dtype=np.int64) * frames // max(1, len(at)) * interval
            else:
                arrival = times[writer][patterns[writer].writes[stream]] + latency[writer]
            there[at] = np.maximum(there[at], arrival)
        times[process.name] = earliest(there)
    return times


def earliest(there: IntArray) -> IntArray:
    """t(i) from a(i)."""
    index = np.arange(len(there), dtype=np.int64)
    return index + np.maximum.accumulate(there - index)


def latest(wanted: IntArray) -> IntArray:
    """d(i) from w(i)."""
    index = np.arange(len(wanted), dtype=np.int64)
    return index + np.minimum.accumulate((wanted - index)[::-1])[::-1]


def full_rate(network: Network, frames: int, soon: Times) -> Times:
    """A schedule whose outputs leave as in `soon`, and which writes as late as that allows.

    An iteration that writes starts at d(i); one that only reads, as soon as its words are there and the last writing one before
    it is over: what a stage takes into its own buffer need not wait in a stream. A process that `passes` words on does so at once;
    behind a fork it does not, where the least depth makes them wait in front of it anyway.
    """
    patterns, times = network.patterns(frames), Times()
    end = max(int(cycles[-1]) for cycles in soon.values() if len(cycles))
    for process in reversed(network.processes):
        pattern, early = patterns[process.name], soon[process.name]
        wanted = np.full(pattern.iterations, FAR, np.int64)
        for stream, at in pattern.writes.items():
            reader = network.reader.get(stream)
            taken = early[at] if reader is None else times[reader][patterns[reader].reads[stream]] - process.latency
            wanted[at] = np.minimum(wanted[at], taken)
        wanted[-1:] = np.minimum(wanted[-1:], max(end, int(early[-1])) if len(early) else end)
        times[process.name] = _eager_between_writes(pattern, early, latest(wanted))
    latency = {process.name: process.latency for process in network.processes}
    for process in network.processes:
        for stream in network.internal(patterns[process.name].reads) if process.passes else ():
            writer = network.writer[stream]
            if len(patterns[writer].writes) == 1:
                there = np.zeros(patterns[process.name].iterations, np.int64)
                there[patterns[process.name].reads[stream]] = times[writer][patterns[writer].writes[stream]] + latency[writer]
                times[process.name] = earliest(there)
    return times


def _eager_between_writes(pattern: Pattern, early: IntArray, late: IntArray) -> IntArray:
    writes = np.zeros(pattern.iterations, bool)
    for at in pattern.writes.values():
        writes[at] = True
    index = np.arange(pattern.iterations, dtype=np.int64)
    last = np.maximum.accumulate(np.where(writes, index, -1))  # writing iteration at or before each, -1 for none
    after = np.where(last < 0, early, late[np.maximum(last, 0)] + index - last)
    return np.where(writes, late, np.maximum(early, after))


def peak(written: IntArray, read: IntArray, counted: int) -> int:
    """Most words in a stream over its first `counted` ones. A place is free the cycle after its word was read."""
    if counted == 0:
        return 1
    left = np.searchsorted(read, written[:counted], side="left")
    return max(1, int((np.arange(1, counted + 1) - left).max()))


def full_rate_depths(network: Network, frames: int, times: Times) -> dict[str, int]:
    """Peak of every stream in a schedule; the last frame, behind which nothing follows, is not counted."""
    patterns = network.patterns(frames)
    latency = {process.name: process.latency for process in network.processes}
    depths: dict[str, int] = {}
    for stream in network.streams:
        writer, reader = network.writer[stream], network.reader[stream]
        written = times[writer][patterns[writer].writes[stream]] + latency[writer]
        read = times[reader][patterns[reader].reads[stream]]
        depths[stream] = peak(written, read, len(written) * (frames - 1) // frames)
    return depths


def output_cycles(network: Network, frames: int, times: Times) -> dict[str, list[int]]:
    """Per output port the cycle at which the last word of each frame has left."""
    patterns = network.patterns(frames)
    found: dict[str, list[int]] = {}
    for process in network.processes:
        for stream, at in patterns[process.name].writes.items():
            if stream not in network.reader and len(at):
                words = len(at) // frames
                found[stream] = [int(times[process.name][i]) + process.latency for i in at[words - 1 :: words]]
    return found
