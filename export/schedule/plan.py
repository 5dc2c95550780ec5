"""The schedule of an accelerator: rate, latency, and how deep each stream has to be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qfx.export.schedule.bounded import bounded_times
from qfx.export.schedule.live import live_depths
from qfx.export.schedule.network import Network
from qfx.export.schedule.timing import as_soon_as_possible, end_of, full_rate, full_rate_depths, interval_of, periodic_outputs
from qfx.fixed import IntArray

FRAMES = 4
"""Back-to-back frames that are looked at, at least, beside those that are under way when the input ends."""
MARGIN = 2
"""Places that every stream gets beyond what it needs."""


@dataclass(frozen=True)
class Depths:
    """How many words a stream has to hold.

    Attributes:
        live: below it, execution stops for good, whatever the timing (time left out of account).
        full_rate: with it, frames leave at the steady interval, if every stage keeps to its declared latency.
        emitted: what the C++ states: max(full_rate, live + the latencies along the parallel path) + 2.
    """

    live: int
    full_rate: int
    emitted: int


@dataclass(frozen=True)
class Schedule:
    """Estimated: an iteration a cycle in every stage, stages that are never disturbed, declared latencies.

    Attributes:
        interval: cycles per frame in the steady state.
        latency: cycles from the start to the last word of a batch of one frame, with streams as deep as emitted.
        critical: the stage that decides the interval.
        cycles: iterations per frame of each stage, in order.
        depths: by stream.
        frames: that were looked at.
    """

    interval: int
    latency: int
    critical: str
    cycles: dict[str, int]
    depths: dict[str, Depths]
    frames: int

    def text(self) -> str:
        """Tables of the stages and the streams."""
        lines = [
            f"a frame every {self.interval:,} cycles, decided by {self.critical}; one alone takes {self.latency:,}",
            "",
            _row("stage", "cycles a frame", "busy"),
            *(_row(name, f"{count:,}", f"{count / self.interval:.0%}") for name, count in self.cycles.items()),
            "",
            _row("stream", "deadlock-free", "stall-free", "emitted"),
            *(_row(name, *(f"{n:,}" for n in (d.live, d.full_rate, d.emitted))) for name, d in self.depths.items()),
        ]
        return "\n".join(lines)


def _row(name: str, *cells: str) -> str:
    return f"{name:<48}" + "".join(f"{cell:>16}" for cell in cells)


def schedule(network: Network) -> Schedule:
    """Rate, latency and depths of a network."""
    interval, critical = interval_of(network)
    frames, outputs = _steady_outputs(network, interval)
    live = live_depths(network, frames)
    rate = full_rate_depths(network, frames, full_rate(network, frames, outputs))
    depths = {
        stream: Depths(live[stream], rate[stream], max(rate[stream], live[stream] + parallel_latency(network, stream)) + MARGIN)
        for stream in network.streams
    }
    latency = end_of(network, 1, bounded_times(network, {stream: depth.emitted for stream, depth in depths.items()}, 1))
    counts = {process.name: process.frame.iterations for process in network.processes}
    return Schedule(interval, latency, critical, counts, depths, frames)


def _steady_outputs(network: Network, interval: int) -> tuple[int, dict[str, IntArray]]:
    """How many frames to look at, and when their words leave.

    Frames that are under way when the input ends find less to read ahead, and leave sooner; FRAMES come before these.
    """
    counted, under_way = FRAMES, math.ceil(network.frames_ahead) + 1
    while True:
        frames = counted + under_way
        outputs, settled = periodic_outputs(network, frames, counted, as_soon_as_possible(network, frames), interval)
        first = max(int(starts[len(starts) // frames - 1]) for starts in outputs.values())
        if settled and first <= under_way * interval:
            return frames, outputs
        counted *= 1 if settled else 2
        under_way = max(under_way, math.ceil(first / interval))


def parallel_latency(network: Network, stream: str) -> int:
    """The longest sum of latencies from the writer of a stream, through its other outputs, to where the paths meet again.

    So many words can wait inside pipelines that stand still, beside those of the model.
    """
    frame = {process.name: process.frame for process in network.processes}
    latency = {process.name: process.latency for process in network.processes}
    beyond = {network.reader[stream]}  # all that the stream's words reach
    behind = {network.reader[other]: 0 for other in network.internal(frame[network.writer[stream]].writes) if other != stream}
    longest = 0
    for process in network.processes:
        writers = [network.writer[other] for other in network.internal(process.frame.reads)]
        if any(writer in beyond for writer in writers):
            beyond.add(process.name)
        found = [behind[writer] + latency[writer] for writer in writers if writer in behind]
        if found or process.name in behind:
            total = max([0, *found])
            if process.name in beyond:
                longest = max(longest, total)
                behind.pop(process.name, None)
            else:
                behind[process.name] = total
    return longest
