"""Threaded execution: the C++ of a project as it lies, a thread per stage, streams of bounded depth.

It shows that the program's order of reads and writes runs to its end with streams of these depths, and that the values are those of
any other execution. It knows no clock: it shows nothing of cycles, of pipelines or of the vendor's implementation of a FIFO.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qfx.errors import ProjectError
from qfx.files import File, scratch
from qfx.sim.csim import CSimulator
from qfx.sim.csim_layout import load_layout

STREAM = re.compile(r"^#pragma\s+HLS\s+STREAM\s+variable=(\w+)\s+depth=(\d+)", re.MULTILINE)
CALL = re.compile(r"^\s*(\w+<[^;()]*>\([^;()]*?),\s*frames\s*\)\s*;", re.MULTILINE)
DEADLOCK = 4
"""Exit code of the program."""


@dataclass(frozen=True)
class Stuck:
    """A stage that waits for ever.

    Attributes:
        stage: its call in the top function, `conv2d<layer::stem>(stem_windows, stem)`.
        stream: that it waits for.
        why: `empty` if it reads, `full` if it writes.
        words: in the stream.
    """

    stage: str
    stream: str
    why: str
    words: int

    def __str__(self) -> str:
        return f"{self.stage} waits for {self.stream}, which is {self.why} ({self.words} words)"


class Deadlock(ProjectError):
    """Every stage that has not ended waits.

    Attributes:
        waiting: all of them, in the order of the top function.
        cycle: those of them that wait for each other, each for the next; the rest waits for these.
    """

    def __init__(self, hls: File, waiting: Sequence[Stuck]) -> None:
        self.waiting = tuple(waiting)
        self.cycle = _cycle(self.waiting)
        lines = "\n".join(f"  {stuck}" for stuck in self.cycle or self.waiting)
        super().__init__(
            f"threaded execution of {hls} stands still at these depths, {len(self.waiting)} stages wait, these for each other;"
            f" deepen a stream that is full:\n{lines}"
        )


def _cycle(waiting: Sequence[Stuck]) -> tuple[Stuck, ...]:
    """Follow from stage to stage what each waits for: the other one that names the same stream."""
    ends = {stuck.stage: set(re.findall(r"\w+", stuck.stage.partition("(")[2])) for stuck in waiting}
    path: list[Stuck] = list(waiting[:1])
    while path:
        here = path[-1]
        following = next((s for s in waiting if s is not here and here.stream in ends[s.stage]), None)
        if following is None:
            return ()
        if following in path:
            return tuple(path[path.index(following) :])
        path.append(following)
    return ()


class ThreadedSimulator(CSimulator):
    """Runs the C++ of a project with a thread per stage.

    Args:
        project: folder with `graph.json`, `graph.npz` and `hls/`.
        depths: by stream, 0 for no bound; None for those that the C++ states. One program serves all depths.
        optimize, sanitize, flags, cache, seconds: as for `CSimulator`.

    Raises:
        ProjectError: the project has no graph, or its `hls/` is damaged.
    """

    name = "threads"
    _title = "threaded execution"
    _variant = "threaded"

    def __init__(
        self,
        project: File,
        depths: Mapping[str, int] | None = None,
        optimize: str = "-O1",
        sanitize: Sequence[str] = (),
        flags: Sequence[str] = (),
        cache: File | None = None,
        seconds: float | None = None,
    ) -> None:
        flags = ["-pthread", *flags]
        super().__init__(project, optimize=optimize, sanitize=sanitize, flags=flags, cache=cache, seconds=seconds, jobs=1)
        source = self.hls / f"{self.layout.top}.cpp"
        try:
            text = source.read_text(encoding="utf-8")
        except OSError as error:
            raise ProjectError(f"{source} cannot be read ({error.strerror}); export the project again") from error
        self.stages = [" ".join(call.split()) + ")" for call in CALL.findall(text)]
        """Calls of the top function, in order."""
        self.stated = {stream: int(depth) for stream, depth in STREAM.findall(text)}
        """The depths that the C++ states."""
        self.depths = dict(self.stated if depths is None else depths)
        self._order: list[list[tuple[str, str]]] | None = None

    def order(self, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, list[tuple[str, str]]]:
        """What every stage did to its streams, one after the other: (`read` or `write`, stream), by its call.

        Args:
            inputs: as for `run`; few enough for one run of the program.
        """
        self._order = []
        try:
            self.run(inputs)
            return dict(zip(self.stages, self._order, strict=True))
        finally:
            self._order = None

    def _frames(self, samples: int, memory: int) -> int:
        """All, as far as memory allows: the longer the batch, the more the streams fill."""
        return memory

    def _calls(self, frames: int) -> list[int]:
        return [frames]

    def _defines(self) -> dict[str, str]:
        return {
            **super()._defines(),
            "QFX_SOURCE": '"threaded/stages.cpp"',
            "QFX_TOP": "qfx_csim::threaded_top",
            "QFX_STAGES": f'"{self.layout.top}.cpp"',
            "QFX_STAGE_TOP": self.layout.top,
        }

    def _first_headers(self) -> list[Path]:
        """All but the top's file, which alone is to see a macro."""
        return [self.hls / f"{self.layout.top}.hpp", *sorted((self.hls / "kernels").glob("*.hpp"))]

    def _execute(self, command: list[str]) -> None:
        with scratch(Path(command[0]).parent, f"temporary files in {tempfile.gettempdir()}") as folder:
            depths, trace = folder / "depths", folder / "trace"
            depths.write_text("".join(f"{stream} {depth}\n" for stream, depth in self.depths.items()))
            variables = {"QFX_DEPTHS": str(depths)}
            if self._order is not None:
                variables["QFX_TRACE"] = str(trace)
            status, printed = self._ended(command, variables)
            if status == DEADLOCK:
                raise Deadlock(self.hls, [self._stuck(line) for line in printed.splitlines()[1:]])
            self._judge(status, printed)
            if self._order is not None:
                self._order[:] = _read_trace(trace)

    def _stuck(self, line: str) -> Stuck:
        number, stream, why, words = line.split()
        index = int(number)
        return Stuck(self.stages[index] if index < len(self.stages) else f"stage {index}", stream, why, int(words))


def live_depths(hls: File) -> dict[str, int]:
    """The deadlock-free depths of the streams, as the export's schedule found them.

    Raises:
        ProjectError: `layout.json` has none.
    """
    depths = load_layout(hls).live_depths
    if not depths:
        raise ProjectError(f"{Path(hls, 'layout.json')} has no deadlock-free depths of the streams; export the project again")
    return depths


def _read_trace(trace: Path) -> list[list[tuple[str, str]]]:
    """Per stage its reads and writes in order."""
    found: list[list[tuple[str, str]]] = []
    for line in trace.read_text().splitlines():
        if line.startswith("stage "):
            found.append([])
        else:
            found[-1].append(("read" if line[0] == "R" else "write", line[1:]))
    return found
