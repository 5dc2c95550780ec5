"""Clock cycles with bounded streams: every iteration as early as its words and the places for what it writes allow.

The least solution of, with L the latency of the process and D the depth of a stream,

    t(i) >= t(i - 1) + 1                             an iteration a cycle
    t(i) >= t'(iteration that writes word k) + L'   for every word k that iteration i reads
    t(i) >= t'(iteration that reads word k - D) + 1 - L  for every word k that it writes
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qfx.errors import ExportError
from qfx.export.schedule.network import Network
from qfx.export.schedule.timing import Times, earliest


def bounded_times(network: Network, depths: Mapping[str, int], frames: int) -> Times:
    """The cycle of every iteration with streams of these depths; all input words wait at the ports.

    Raises:
        ExportError: the streams are too shallow: some process never goes on.
    """
    patterns, times = network.patterns(frames), Times()
    latency = {process.name: process.latency for process in network.processes}
    for name, pattern in patterns.items():
        times[name] = np.arange(pattern.iterations, dtype=np.int64)
    horizon = sum(pattern.iterations * (1 + latency[name]) for name, pattern in patterns.items())  # one after the other
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
                writer = network.writer[stream]
                arrival = times[writer][patterns[writer].writes[stream]] + latency[writer]
                there[pattern.reads[stream]] = np.maximum(there[pattern.reads[stream]], arrival)
            for stream in network.internal(pattern.writes):
                reader, depth = network.reader[stream], depths[stream]
                at, freed = pattern.writes[stream][depth:], times[network.reader[stream]][patterns[reader].reads[stream]]
                there[at] = np.maximum(there[at], freed[: len(at)] + 1 - latency[name])
            found = earliest(there)
            if len(found) and found[-1] > horizon:
                raise ExportError(f"process {name!r} never goes on: the streams are too shallow")
            if not np.array_equal(found, times[name]):
                times[name] = found
                todo.update(network.writer[stream] for stream in network.internal(pattern.reads))
                todo.update(network.reader[stream] for stream in network.internal(pattern.writes))
        order.reverse()
    return times
