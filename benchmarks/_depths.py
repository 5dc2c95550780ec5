"""Stream depths as the schedule says them, against what execution with a thread per stage needs; the rate at the emitted depths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qfx.export.hls.design import Design
from qfx.export.schedule import bounded_times
from qfx.export.schedule.timing import end_of
from qfx.ir import load_graph
from qfx.sim.threaded import Deadlock, ThreadedSimulator, live_depths

Inputs = Mapping[str, npt.NDArray[np.integer]]


def depth_difference(project: Path, inputs: Inputs, cache: Path | None = None, optimize: str = "-O1") -> int:
    """Words between the least depth of a stream by the schedule and the measured one; the largest of all streams.

    The measured one is the least with which threads end, the other streams as deep as the schedule's least.
    """
    engine = ThreadedSimulator(project, optimize=optimize, cache=cache)
    outputs = frozenset(load_graph(project).outputs)
    live = live_depths(engine.hls)
    return max((depth - _measured(engine, live, stream, inputs, outputs) for stream, depth in live.items()), default=0)


def _measured(engine: ThreadedSimulator, live: Mapping[str, int], stream: str, inputs: Inputs, outputs: frozenset[str]) -> int:
    depth = live[stream]
    while depth > 1:
        engine.depths = {**live, stream: depth - 1}
        try:
            engine.run(inputs, outputs)
        except Deadlock:
            break
        depth -= 1
    return depth


def late_cycles(design: Design) -> float:
    """Cycles a frame above the interval in the long run, by the timed model with streams as deep as the C++ states."""
    frames = design.schedule.frames + 6
    depths = {stream.name: stream.depth for stream in design.streams}
    ends = [end_of(design.network, count, bounded_times(design.network, depths, count)) for count in (frames, frames + 2)]
    return (ends[1] - ends[0]) / 2 - design.schedule.interval
