"""Clock cycles of every event: as soon as possible, and a schedule of the same rate that holds few words.

An event is an iteration that touches a stream; the others only let time pass. Both schedules follow from max-plus equations over
whole batches. With i(e) the iteration of event e and a(e) the cycle at which its words are there,

    t(e) = max(t(e - 1) + i(e) - i(e - 1), a(e)) = i(e) + max over f <= e of (a(f) - i(f))

and backwards, with w(e) the last cycle at which event e may start for its words to be in time,

    d(e) = min(d(e + 1) - i(e + 1) + i(e), w(e)) = i(e) + min over f >= e of (w(f) - i(f))
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qfx.export.schedule.network import Network, Pattern, at_events, raise_at
from qfx.fixed import IntArray

FAR = 1 << 60
"""When words that nothing waits for are read: later than any cycle."""

Times = dict[str, IntArray]
"""The cycle at which each event of a process starts."""


def interval_of(network: Network) -> tuple[int, str]:
    """Cycles per frame in the steady state, those of the process with the most iterations, and its name."""
    slowest = max(network.processes, key=lambda process: process.frame.iterations)
    return slowest.frame.iterations, slowest.name


def as_soon_as_possible(network: Network, frames: int, arrivals: Mapping[str, IntArray] | None = None) -> Times:
    """Every event as early as its words allow, streams unbounded.

    Args:
        arrivals: per input port the cycle at which each word comes; None for ports where all words wait.
    """
    patterns, times = network.patterns(frames), Times()
    for name, pattern in patterns.items():
        there = np.zeros(len(pattern.events), np.int64)
        for stream, at in pattern.reads.items():
            if stream in network.writer:
                raise_at(there, at, arrival(network, patterns, times, stream))
            elif arrivals is not None:
                raise_at(there, at, arrivals[stream])
        times[name] = earliest(pattern.events, there)
    return times


def arrival(network: Network, patterns: Mapping[str, Pattern], times: Times, stream: str) -> IntArray:
    """The cycle at which each word of a stream is there."""
    writer = network.writer[stream]
    return at_events(times[writer], patterns[writer].writes[stream]) + network.process[writer].latency


def taken(network: Network, patterns: Mapping[str, Pattern], times: Times, stream: str) -> IntArray:
    """The cycle at which each word of a stream is read."""
    reader = network.reader[stream]
    return at_events(times[reader], patterns[reader].reads[stream])


def earliest(events: IntArray, there: IntArray) -> IntArray:
    """t(e) from i(e) and a(e)."""
    return events + np.maximum.accumulate(there - events)


def latest(events: IntArray, wanted: IntArray) -> IntArray:
    """d(e) from i(e) and w(e)."""
    return events + np.minimum.accumulate((wanted - events)[::-1])[::-1]


def periodic_outputs(network: Network, frames: int, counted: int, soon: Times, interval: int) -> tuple[dict[str, IntArray], bool]:
    """Per output port when the event of each word starts, as early as can be where frames follow each other at the interval.

    Returns:
        them, and whether they have settled: the last of the first `counted` frames, and those behind, brought nothing later.
    """
    patterns, found, settled = network.patterns(frames), dict[str, IntArray](), True
    starts = np.arange(frames, dtype=np.int64)[:, None] * interval
    for process in network.processes:
        for stream, at in patterns[process.name].writes.items():
            if stream not in network.reader:
                beyond = at_events(soon[process.name], at).reshape(frames, -1) - starts
                first = beyond.max(axis=0)
                settled = settled and not (first > beyond[: counted - 1].max(axis=0)).any()
                found[stream] = (first + starts).ravel()
    return found, settled


def as_late_as_possible(network: Network, frames: int, outputs: Mapping[str, IntArray], early: Times | None = None) -> Times:
    """A schedule whose outputs leave when they shall, every event as late as that allows.

    Args:
        outputs: per output port when the event of each word starts.
        early: where given, an event that only reads starts as soon as it does there and as the last writing event before it is
            over: what a stage takes into its own buffer need not wait in a stream.
    """
    patterns, times = network.patterns(frames), Times()
    for process in reversed(network.processes):
        pattern = patterns[process.name]
        before = np.full(len(pattern.events), -FAR, np.int64)  # minus the latest cycle
        for stream, at in pattern.writes.items():
            reads = stream in network.reader
            raise_at(before, at, process.latency - taken(network, patterns, times, stream) if reads else -outputs[stream])
        late = latest(pattern.events, -before)
        times[process.name] = late if early is None else _eager_between_writes(pattern, early[process.name], late)
    return times


def full_rate(network: Network, frames: int, outputs: Mapping[str, IntArray]) -> Times:
    """A schedule with these outputs that keeps few words in the streams.

    The inputs come as late as the outputs allow. Then every stage writes as late as it can, and reads as soon as it can. A process
    that `passes` words on does so at once; behind a fork it does not, where the least depth makes them wait in front of it anyway.
    """
    patterns = network.patterns(frames)
    inputs = _latest_inputs(network, frames, outputs)
    times = as_late_as_possible(network, frames, outputs, as_soon_as_possible(network, frames, inputs))
    for process in network.processes:
        pattern = patterns[process.name]
        for stream in network.internal(pattern.reads) if process.passes else ():
            if len(patterns[network.writer[stream]].writes) == 1:
                there = np.zeros(len(pattern.events), np.int64)
                raise_at(there, pattern.reads[stream], arrival(network, patterns, times, stream))
                times[process.name] = earliest(pattern.events, there)
    return times


def _latest_inputs(network: Network, frames: int, outputs: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Per input port the last cycle at which each word may come."""
    patterns, late = network.patterns(frames), as_late_as_possible(network, frames, outputs)
    return {
        stream: at_events(late[name], at)
        for name, pattern in patterns.items()
        for stream, at in pattern.reads.items()
        if stream not in network.writer
    }


def _eager_between_writes(pattern: Pattern, early: IntArray, late: IntArray) -> IntArray:
    """Events that write as late as in `late`; the others behind them at once, but not before `early`."""
    writing = np.zeros(len(late), bool)
    for at in pattern.writes.values():
        writing[at] = True
    writes = np.flatnonzero(writing)
    if len(writes) == len(late):
        return late
    until = np.concatenate([writes[1:], np.array([len(late)])])
    shift = np.repeat(late[writes] - pattern.events[writes], until - writes)  # of each event from the first write on
    start = len(late) - len(shift)
    found = np.array(early, np.int64)
    np.maximum(found[start:], pattern.events[start:] + shift, out=found[start:])
    found[writes] = late[writes]
    return found


def peak(written: IntArray, read: IntArray, counted: int) -> int:
    """Most words in a stream over its first `counted` ones. A place is free the cycle after its word was read."""
    if counted == 0:
        return 1
    left = np.searchsorted(read, written[:counted], side="left")
    return max(1, int((np.arange(1, counted + 1) - left).max()))


def full_rate_depths(network: Network, frames: int, times: Times) -> dict[str, int]:
    """Peak of every stream in a schedule; the last frame, behind which nothing follows, is not counted."""
    patterns = network.patterns(frames)
    depths: dict[str, int] = {}
    for stream in network.streams:
        written = arrival(network, patterns, times, stream)
        depths[stream] = peak(written, taken(network, patterns, times, stream), len(written) * (frames - 1) // frames)
    return depths


def end_of(network: Network, frames: int, times: Times) -> int:
    """The cycle at which the last word of the batch has left."""
    patterns = network.patterns(frames)
    return max(
        int(times[process.name][at[-1]]) + process.latency
        for process in network.processes
        for stream, at in patterns[process.name].writes.items()
        if stream not in network.reader
    )
