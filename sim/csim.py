"""C simulation: compiles the C++ of a project as it lies, runs it, and reads every value from the streams' logs."""

from __future__ import annotations

import contextlib
import functools
import importlib.resources
import os
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qfx.cache import Cache
from qfx.errors import ProjectError, ToolMissingError
from qfx.files import File, scratch
from qfx.fixed import IntArray
from qfx.ir import load_graph
from qfx.sim.csim_layout import PortLayout, StreamWords, from_beats, load_layout, to_beats, unpack_words
from qfx.sim.engine import check_inputs, cores
from qfx.sim.headers import ApTypes, find_ap_types, quick_masking
from qfx.sim.program_key import INCLUDE_VARIABLES, own_sources, program_key
from qfx.sim.shares import SEVERAL, shares
from qfx.sim.stream_faults import explained

CHUNK_WORDS = 8_000_000
"""Stream words that the runs of one moment may hold."""

FRAMES, PROCESSES, AT_ONCE = 16, 128, 16
"""Samples are divided into runs of so many frames; of more, so that there are no more runs than that; and of fewer, where so many
runs at once would hold more than `CHUNK_WORDS`. None of it depends on the machine, since what a run finds depends on the frames
that it computes one after the other."""

INLINING = ("-finline-functions", "-finline-small-functions", "-findirect-inlining", "--param=early-inlining-insns=32")
"""What -O1 leaves out of -O2 that ap_types need: each of their operations is a dozen small functions. The parameter lets them go in
before loops are looked at, which makes some networks three times faster."""

SHOWN_LINES = 12
"""Lines of a compiler's message that an error repeats."""


class CSimulator:
    """Runs the C++ of a project on integer codes. The program is compiled at the first run and kept with this object.

    It runs as a process of its own, so that a crash of the C++, an assertion or a sanitizer's finding is an error message here.

    Args:
        project: folder with `graph.json`, `graph.npz` and `hls/`.
        ap_types: folder of the ap_types headers; None to look for them (see `qfx.sim.headers`).
        optimize: optimization level; -O1 with `INLINING` compiles a third faster than -O2 and runs as fast.
        sanitize: sanitizers to compile in: `address`, `undefined`.
        flags: further compiler flags.
        environment: variables to set while the program runs.
        cache: folder where compiled programs are kept by content (see `qfx.cache`); None to compile always.
        seconds: that the program may run for one chunk of samples; None for any time.
        jobs: processes at a time; None for one per core. Which samples a process computes does not depend on it.
        quick: mask without `volatile`, where the headers are the open release (see `qfx.sim.headers.MASKING`).

    Raises:
        ProjectError: the project has no graph, or its `hls/layout.json` is missing or damaged.
    """

    name = "csim"
    _title = "C simulation"
    _variant = ""
    """The folder of `hls_templates/csim` whose headers take the place of those beside it."""

    def __init__(
        self,
        project: File,
        ap_types: File | None = None,
        optimize: str = "-O1",
        sanitize: Sequence[str] = (),
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        cache: File | None = None,
        seconds: float | None = None,
        jobs: int | None = None,
        quick: bool = True,
    ) -> None:
        self.hls = Path(project).resolve() / "hls"
        self.graph = load_graph(Path(project))
        self.layout = load_layout(self.hls, self.graph.activations())
        self._ap_types = ap_types
        self._flags = [optimize, *INLINING, *(f"-fsanitize={name}" for name in sanitize), *flags]
        if sanitize:  # ap_types shifts negative numbers left, which C++20 defined and C++14 did not
            self._flags += ["-fno-sanitize=shift-base", "-fno-sanitize-recover=all"]
        self._environment = dict(environment or {})
        self._cache = None if cache is None else Cache(cache)
        self._seconds = seconds
        self._jobs = jobs or cores()
        self._quick = quick
        self._program: Path | None = None
        self._running: set[subprocess.Popen[str]] = set()
        self.headers: ApTypes | None = None
        """The header set in use, once compiled."""

    def run(self, inputs: Mapping[str, npt.NDArray[np.integer]], keep: frozenset[str] | None = None) -> dict[str, IntArray]:
        """Inputs and computed values for one batch; memory beyond the result is bounded.

        Every process computes several of the samples one after the other, in two calls of the top function, so that what the C++
        keeps from frame to frame or from call to call shows.

        Args:
            inputs: codes (batch, *shape) of every graph input, of `qfx.sim.shares.SEVERAL` samples at least for that.
            keep: names of the values wanted; None for all inputs and computed values.

        Returns:
            int64 codes (batch, *shape) of each wanted value. The graph's outputs are what left the AXI streams.

        Raises:
            InputError: an input that does not fit.
            ToolMissingError: no compiler or no ap_types headers.
            ProjectError: the C++ does not compile, crashes, runs too long, or misuses a stream.
        """
        codes = check_inputs(self.graph, inputs)
        samples = len(next(iter(codes.values())))
        program = self.compile()
        wanted = [name for name in self.graph.activations() if keep is None or name in keep]
        frame_words = max(1, self.layout.frame_words)
        runs = shares(samples, self._frames(samples, CHUNK_WORDS // frame_words)) or [slice(0, 0)]
        chunks = [{name: array[run] for name, array in codes.items()} for run in runs]
        held = max(run.stop - run.start for run in runs) * frame_words
        with ThreadPoolExecutor(max(1, min(self._jobs, CHUNK_WORDS // max(1, held)))) as pool:
            try:
                parts = list(pool.map(functools.partial(self._run_chunk, program, wanted), chunks))
            except BaseException:  # an error of one, or an interrupt: the others need not end
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(self._running):
                    process.kill()
                raise
        return {name: np.concatenate([part[name] for part in parts]) for name in wanted}

    def compile(self) -> Path:
        """Compile once; returns the program.

        Raises:
            ToolMissingError: no compiler or no ap_types headers.
            ProjectError: the C++ does not compile.
        """
        if self._program is None:
            self.headers = find_ap_types(self._ap_types)
            kept = contextlib.ExitStack()
            program = kept.enter_context(scratch()) / "csim"
            weakref.finalize(self, kept.close)
            first = self._first_headers()
            compile_project(
                self.hls, self._defines(), self.headers, self._flags, program, self._cache, self._quick, self._variant, first
            )
            self._program = program
        return self._program

    def _defines(self) -> dict[str, str]:
        layout = self.layout
        return {
            "QFX_SOURCE": f'"{layout.top}.cpp"',
            "QFX_TOP": layout.top,
            "QFX_INPUTS": " ".join(f"QFX_INPUT({self._port(port)})" for port in layout.inputs),
            "QFX_OUTPUTS": " ".join(f"QFX_OUTPUT({self._port(port)})" for port in layout.outputs),
            "QFX_PORTS": ", ".join(port.port for port in (*layout.inputs, *layout.outputs)),
        }

    def _port(self, port: PortLayout) -> str:
        return f"{port.beat}, {port.port}, {port.slot_width}, {port.slots}, {self.graph.values[port.value].size}"

    def _first_headers(self) -> list[Path]:
        """Headers in `hls/` that are included before everything else."""
        return []

    def _frames(self, samples: int, memory: int) -> int:
        """Frames of a run at most; `memory` of them hold `CHUNK_WORDS`."""
        return min(max(FRAMES, -(-samples // PROCESSES)), memory // AT_ONCE)

    def _calls(self, frames: int) -> list[int]:
        """Frames of each call of the top function in one run."""
        return [frames] if frames < SEVERAL else [frames - frames // 2, frames // 2]

    def _run_chunk(self, program: Path, wanted: Sequence[str], codes: Mapping[str, IntArray]) -> dict[str, IntArray]:
        frames = len(next(iter(codes.values())))
        streams = list(dict.fromkeys(self.layout.streams[name] for name in wanted))
        with scratch(program.parent, f"temporary files in {tempfile.gettempdir()}") as folder:
            source, target = folder / "input", folder / "output"
            calls = self._calls(frames)
            with source.open("wb") as file:
                for end, count in zip(np.cumsum(calls).tolist(), calls, strict=True):
                    for port in self.layout.inputs:
                        ordered = to_beats(codes[port.value][end - count : end])
                        file.write(np.int64(len(ordered)).tobytes() + ordered.tobytes())
            self._execute([str(program), str(source), ",".join(map(str, calls)), str(target), *streams])
            found = list(_sections(target))
        left = found[: len(self.layout.outputs)]
        sections = dict(zip(streams, found[len(left) :], strict=True))
        values = {
            name: unpack_words(
                sections[self.layout.streams[name]],
                self.graph.values[name],
                self.layout.lanes[name],
                self.layout.streams[name],
                frames,
            )
            for name in wanted
        }
        for port, words in zip(self.layout.outputs, left, strict=True):
            if port.value in values:
                values[port.value] = self._sent(port, words, frames)
        return values

    def _sent(self, port: PortLayout, words: StreamWords, frames: int) -> IntArray:
        """The codes of an output, as they left."""
        output = self.graph.values[port.value]
        codes = words.chunks.view(np.int64).ravel()
        if len(codes) != frames * output.size:
            raise ProjectError(f"the C++ sent {len(codes)} codes of {output.name!r}, wanted {frames * output.size}")
        if not output.type.signed and port.slot_width < 64:
            codes = codes & ((1 << port.slot_width) - 1)  # the driver reads every code as signed
        return from_beats(codes, output.shape)

    def _execute(self, command: list[str]) -> None:
        self._judge(*self._ended(command, self._environment))

    def _ended(self, command: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
        """Run the program; returns its status and what it printed."""
        environment = {**os.environ, **variables}
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", env=environment
        ) as process:
            self._running.add(process)
            try:
                _, printed = process.communicate(timeout=self._seconds)
            except subprocess.TimeoutExpired as error:
                raise ProjectError(
                    f"{self._title} of {self.hls} ran longer than {self._seconds:g} s; the C++ may loop forever"
                ) from error
            finally:
                process.kill()
                self._running.discard(process)
        return process.returncode, printed

    def _judge(self, status: int, printed: str) -> None:
        """Raise what a status other than 0 means."""
        if status == 0:
            return
        message = _shortened(explained(printed, self.layout.flows)) or "no message"
        if status == 3:
            raise ProjectError(f"{self._title} of {self.hls}: {message}")
        ended = signal.Signals(-status).name if status < 0 else f"status {status}"
        raise ProjectError(f"{self._title} of {self.hls} crashed ({ended}): {message}")


def require_tools() -> None:
    """Whether C simulation can run here, before long work that ends in it.

    Raises:
        ToolMissingError: no compiler or no ap_types headers.
    """
    find_compiler()
    find_ap_types()


def find_compiler() -> str:
    """Path of the C++ compiler: $CXX, else g++.

    Raises:
        ToolMissingError: it is not on PATH.
    """
    name = os.environ.get("CXX") or "g++"
    compiler = shutil.which(name)
    if compiler is None:
        raise ToolMissingError(f"no C++ compiler for C simulation: {name!r} is not on PATH; install g++ or set CXX")
    return compiler


def compile_project(
    hls: File,
    defines: Mapping[str, str],
    headers: ApTypes,
    flags: Sequence[str],
    program: File,
    cache: Cache | None = None,
    quick: bool = True,
    variant: str = "",
    first: Sequence[Path] = (),
) -> None:
    """Compile the top of an `hls/` folder with the driver of `hls_templates/csim` into `program`, or fetch it from `cache`.

    Args:
        hls, defines, headers, flags: what is compiled, and how.
        program: to be written; files that are needed on the way lie beside it.
        quick: as for `CSimulator`.
        variant: folder of `hls_templates/csim` whose headers take the place of those beside it.
        first: headers in `hls` that are included before everything else.

    Raises:
        ToolMissingError: there is no C++ compiler.
        ProjectError: the C++ does not compile.
    """
    hls, program, compiler = Path(hls), Path(program), find_compiler()
    stubs = Path(str(importlib.resources.files("qfx"))) / "hls_templates" / "csim"
    flags = ["-std=c++14", "-Wno-unknown-pragmas", *flags, *(f"-D{key}={value}" for key, value in defines.items())]
    masking = program.with_name(f"{program.name}.headers")
    includes = [
        *([stubs / variant] if variant else []),
        stubs,
        *([masking] if quick and quick_masking(headers, masking) else []),
        headers.path,
    ]
    key = program_key((hls, *includes), compiler, flags) if cache else ""
    if cache and cache.fetch(key, program):
        return
    dependencies = program.with_name(f"{program.name}.d")
    command = [compiler, *flags, f"-I{hls}", *(word for folder in includes for word in ("-isystem", str(folder)))]
    command += [word for header in first for word in ("-include", str(header))]
    command += [f"-ffile-prefix-map={masking}={headers.path}", str(stubs / "driver.cpp")]  # assertions name their file
    command += ["-MMD", "-MF", str(dependencies), "-o", str(program)]
    environment = {name: value for name, value in os.environ.items() if name not in INCLUDE_VARIABLES}
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
    if result.returncode != 0:
        raise ProjectError(f"the C++ in {hls} does not compile:\n{_shortened(result.stderr)}")
    if cache and own_sources(dependencies, (hls, stubs)):
        cache.store(key, program)


def _sections(path: Path) -> Iterator[StreamWords]:
    """Sections of the driver's output."""
    data = np.fromfile(path, np.uint64)
    start = 0
    while start < len(data):
        width, count = int(data[start]), int(data[start + 1])
        yield StreamWords(width, data[start + 2 : start + 2 + count].reshape(-1, (width + 63) // 64))
        start += 2 + count


def _shortened(text: str) -> str:
    lines = text.strip().splitlines()
    return "\n".join([*lines[:SHOWN_LINES], *(["..."] if len(lines) > SHOWN_LINES else [])])
