"""Progress as plain lines, for logs: what is at work, and at the latest every `SILENCE` seconds that it still is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator

SILENCE = 6.0
"""Seconds without a line, at most; well below the 10 that are promised, since Python starts before, and a machine may be busy."""

SHORT = 1.0
"""Seconds that a step takes at least to have a line of its own."""

TICK = 0.5
"""Seconds from one look at the clock to the next."""


class Lines:
    """The step at work, written as a line once it has taken `SHORT` seconds, and again every `SILENCE` seconds.

    Args:
        write: takes a line.
        clock: gives seconds.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._begun = self._since = self._written = clock()
        self._step, self._shown = ("start", 0, 1), ""

    def report(self, task: str, done: int, total: int) -> None:
        """Takes note of a step; it is a `qfx.progress.Progress`."""
        if task != self._step[0]:
            self._since = self._clock()
        self._step = (task, done, total)

    def tick(self) -> None:
        """Writes a line if one is due; to be called more often than every `SILENCE` seconds."""
        now, (task, done, total) = self._clock(), self._step
        due = task != self._shown and now - self._since >= SHORT
        if not due and now - self._written < SILENCE:
            return
        self._shown, self._written = task, now
        count = f", {done:,} of {total:,}" if total > 1 else ""
        self._write(f"[{now - self._begun:4.0f} s] {task}{count}")


@contextlib.contextmanager
def ticking(lines: Lines) -> Generator[None]:
    """Has a thread call `tick` until the block ends."""
    ended = threading.Event()

    def tick() -> None:
        with contextlib.suppress(OSError):  # nobody reads standard error any more; the work goes on
            while not ended.wait(TICK):
                lines.tick()

    thread = threading.Thread(target=tick, name="qfx progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
