"""Clock cycles with bounded streams: every event as early as its words and the places for what it writes allow.

The least solution of, with i(e) the iteration of event e, L the latency of the process and D the depth of a stream,

    t(e) >= t(e - 1) + i(e) - i(e - 1)              an iteration a cycle
    t(e) >= t'(event that writes word k) + L'       for every word k that event e reads
    t(e) >= t'(event that reads word k - D) + 1 - L  for every word k that it writes
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qfx.errors import ExportError
from qfx.export.schedule.network import Network, raise_at
from qfx.export.schedule.timing import Times, arrival, earliest, taken


def bounded_times(network: Network, depths: Mapping[str, int], frames: int) -> Times:
    """The cycle of every event with streams of these depths; all input words wait at the ports.

    Raises:
        ExportError: the streams are too shallow: some process never goes on.
    """
    patterns, times = network.patterns(frames), Times()
    latency = {process.name: process.latency for process in network.processes}
    horizon = 0  # one after the other
    for name, pattern in patterns.items():
        times[name] = pattern.events
        horizon += int(pattern.events[-1]) + 1 + len(pattern.events) * latency[name] if len(pattern.events) else 0
    todo = set(patterns)
    order = list(patterns)
    while todo:
        for name in order:
            if name not in todo:
                continue
            todo.discard(name)
            pattern = patterns[name]
            there = np.array(times[name], np.int64)
            for stream in network.internal(pattern.reads):
                raise_at(there, pattern.reads[stream], arrival(network, patterns, times, stream))
            for stream in network.internal(pattern.writes):
                at, freed = pattern.writes[stream][depths[stream] :], taken(network, patterns, times, stream)
                raise_at(there, at, freed[: len(at)] + 1 - latency[name])
            found = earliest(pattern.events, there)
            if len(found) and found[-1] > horizon:
                raise ExportError(f"process {name!r} never goes on: the streams are too shallow")
            if not np.array_equal(found, times[name]):
                times[name] = found
                todo.update(network.writer[stream] for stream in network.internal(pattern.reads))
                todo.update(network.reader[stream] for stream in network.internal(pattern.writes))
        order.reverse()
    return times
