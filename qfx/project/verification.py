"""`verify`: choose the engines and the inputs of a project, and compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qfx import arguments
from qfx.annotations import explained
from qfx.checks import argument, flag, or_none, whole
from qfx.engines.comparison import compare_engines
from qfx.engines.protocol import WHOLE, Engine, Extent
from qfx.engines.report import Report
from qfx.engines.sim_engine import SimulatorEngine
from qfx.errors import InputError, ToolMissingError
from qfx.files import File
from qfx.progress import Progress, silent, step
from qfx.project.directory import Project, open_project
from qfx.project.golden import RECORDED, random_samples
from qfx.project.inventory import added_notes, shown
from qfx.sim.engine import Codes, checked_codes, given_codes

SANITIZERS = ("address", "undefined")
ENGINES = ("torch", "sim", "onnx", "csim", "threads", "live")
"""Every engine, the usual reference first. The last three run the compiled C++: one stage after the other, a thread per stage with
streams as deep as the C++ says, and the same with the least depths that are deadlock-free."""


@explained
def verify(
    project: Project | File,
    engines: Sequence[str] | None = None,
    inputs: Codes | None = None,
    model: Any = None,
    *,
    samples: int | None = None,
    seed: int | None = None,
    outputs_only: bool = False,
    sanitize: Sequence[str] = (),
    strict: bool = False,
    cache: File | None = None,
    progress: Progress = silent,
) -> Report:
    """Compare the engines of a project at every value of every layer, exactly.

    Args:
        project: its directory, or as `open_project` opened it; its C++ is compiled as it lies there. Notes of the report name files
            of it that differ from the manifest, and files that were added and can take part in the build.
        engines: names, the reference first, or one text with commas between them; None for all that the manifest lists.
        inputs: codes (samples, *shape), by input name if there are several; None for the recorded ones, or random ones if a
            seed is given.
        model: the torch model, run live; without it the recorded torch values are used.
        samples: how many; of recorded inputs the first ones, of given inputs the first ones or, with a seed, picked ones;
            of random inputs 100 if None. The corners of the format come first among random inputs.
        seed: of the random inputs or of the pick.
        outputs_only: whether the network's outputs alone are compared, each engine as it runs fastest.
        sanitize: sanitizers to compile into the C++: `address`, `undefined`. What they find is an error.
        strict: refuse any difference from the manifest, before anything is compiled: files that were edited, are missing or added.
        cache: folder where compiled C++ is kept by its content; None to compile.
        progress: told what is done.

    Raises:
        InputError: an unknown engine, fewer than two, or inputs that do not fit the network.
        ToolMissingError: an engine that was asked for or is listed cannot run here.
        ProjectError: files of the project that do not belong together.
        AlteredError: where `strict` is wanted, a difference from the manifest.
    """
    check_arguments(samples, seed, outputs_only)
    if strict or not isinstance(project, Project):
        project = open_project(project.path if isinstance(project, Project) else project, strict)
    arguments.function("progress", progress, "progress(text, done, all)")
    cache = None if cache is None else arguments.path("the cache", cache)
    codes = choose_samples(project, inputs, samples, seed)
    names = _check_names(project.manifest.engines if engines is None else engines)
    sanitize = arguments.names("sanitize", sanitize, SANITIZERS)
    notes = [f"{shown(name)} differs from the manifest; it is judged as it lies there" for name in project.changed]
    notes += added_notes(project.path, project.manifest.files, project.added)
    notes += [f"{step.name} = {step.text()} is post-processing on the CPU and is not compared" for step in project.graph.host]
    built: list[Engine] = []
    extent = WHOLE
    for name in names:
        try:
            with step(progress, _preparation(name)):
                if name == "torch":
                    engine, extent = _torch(project, model, codes, outputs_only)
                    built.append(engine)
                elif name in _COMPILED:
                    built.append(_COMPILED[name](project, cache, sanitize))
                else:
                    built.append(_BUILD[name](project, outputs_only))
        except _NotRecorded as error:
            if engines is not None:
                raise ToolMissingError(f"engine torch cannot run: {error}") from error
            notes.append(f"torch is left out: {error}")
    if len(built) < 2:
        raise InputError(f"a comparison needs two engines or more, not {', '.join(names)}")
    notes += _left_out(project, extent, codes, len(built) - 1, outputs_only)
    return compare_engines(project.graph, built, codes, progress, notes, outputs_only, {"torch": extent})


def _left_out(
    project: Project, extent: Extent, codes: Mapping[str, npt.NDArray[np.integer]], others: int, outputs_only: bool
) -> list[str]:
    """What is not compared with the recorded values of torch."""
    rest = "compared without torch" if others > 1 else "not compared"
    notes: list[str] = []
    if extent.outputs_only and not outputs_only:
        notes.append(
            f"torch's values are recorded of the outputs only, {', '.join(project.graph.outputs)}; other layers are {rest}"
        )
    if extent.samples is not None:
        count = len(next(iter(codes.values())))
        notes.append(
            f"torch's values are recorded of the first {extent.samples:,} of these {count:,} samples; the others are {rest}"
        )
    return notes


def check_arguments(samples: int | None, seed: int | None, outputs_only: bool) -> None:
    """Raises InputError for arguments of `verify` of another type, or below 0."""
    argument("verify", "samples", samples, or_none(whole()))
    argument("verify", "seed", seed, or_none(whole(0)))
    argument("verify", "outputs_only", outputs_only, flag)


def choose_samples(
    project: Project, inputs: Codes | None = None, samples: int | None = None, seed: int | None = None
) -> dict[str, npt.NDArray[np.integer]]:
    """The codes of each input of a verification, by name; arguments as for `verify`.

    Raises:
        InputError: they do not fit the network, or there are fewer than asked for.
    """
    graph = project.graph
    if samples is not None and arguments.whole("the number of samples", samples, 0) < 1:
        raise InputError(f"{samples} samples cannot be compared; ask for 1 or more")
    seed = None if seed is None else arguments.whole("the seed", seed, 0)
    if inputs is None and seed is not None:
        count = samples or RECORDED
        codes = 8 * count * sum(graph.values[name].size for name in graph.inputs)
        arguments.check_memory(f"{count:,} random samples of {len(graph.inputs)} inputs", codes)
        return {**random_samples(graph, count, seed)}
    codes = checked_codes(graph, given_codes(graph, project.samples if inputs is None else inputs))
    count = len(codes[graph.inputs[0]])
    if samples is None:
        return codes
    if samples > count:
        more = "" if inputs is not None else "; give a seed for random inputs"
        raise InputError(f"{samples} samples were asked for, but there are {count}{more}")
    if seed is None:
        return {name: array[:samples] for name, array in codes.items()}
    picked = np.sort(np.random.default_rng(seed).choice(count, samples, replace=False))
    return {name: array[picked] for name, array in codes.items()}


def _check_names(given: Sequence[str]) -> Sequence[str]:
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    for name in arguments.names("engines", names):
        if name not in ENGINES:
            raise InputError(f"there is no engine {name!r}; the engines are {', '.join(ENGINES)}")
    if len(set(names)) != len(names):
        raise InputError(f"an engine is named twice in {', '.join(names)}")
    return names


class _NotRecorded(Exception):
    """torch has neither a live model nor recorded values for these inputs."""


def _preparation(name: str) -> str:
    """What preparing an engine is, in words: of some it is most of the time of a verification."""
    if name not in _COMPILED:
        return f"prepare {name}"
    from qfx.sim.csim import find_compiler

    return f"prepare {name}: {Path(find_compiler()).name} compiles the C++"


def _torch(project: Project, model: Any, codes: Mapping[str, npt.NDArray[np.integer]], outputs_only: bool) -> tuple[Engine, Extent]:
    """The live model, or its recorded values, and of which layers and of how many of these samples it has any."""
    if model is not None:
        from qfx.engines.torch_engine import TorchEngine

        return TorchEngine(model, project.graph, outputs_only=outputs_only), WHOLE
    from qfx.engines.recorded import RecordedTorch

    if project.torch_file is None:
        raise _NotRecorded("the project has no recorded torch values; give the model to run it live")
    kept = project.manifest.recorded
    recorded = RecordedTorch(project.graph, project.torch_file, project.samples, kept)
    count, leading = len(next(iter(codes.values()))), 0
    for start in range(0, count, RECORDED):  # part by part: it keeps a copy of what it looks up
        leading += recorded.leading({name: array[start : start + RECORDED] for name, array in codes.items()})
        if leading < min(start + RECORDED, count):
            break
    if leading == count:
        return recorded, replace(kept, samples=None)
    if kept.samples is None or not leading:
        whose = "the project's own inputs" if kept.samples is None else f"the project's first {kept.samples:,} inputs"
        raise _NotRecorded(f"its values are recorded for {whose} only; give the model to run it live")
    return recorded, replace(kept, samples=leading)


def _sim(project: Project, outputs_only: bool) -> Engine:
    return SimulatorEngine(project.graph, outputs_only)


def _onnx(project: Project, outputs_only: bool) -> Engine:
    from qfx.engines.onnx_engine import OnnxEngine, load_model

    model = load_model(project.onnx_file.read_bytes(), str(project.onnx_file))
    return OnnxEngine(project.graph, model, outputs_only=outputs_only)


def _csim(project: Project, cache: File | None, sanitize: Sequence[str]) -> Engine:
    from qfx.sim.csim import CSimulator

    engine = CSimulator(project.path, cache=cache, sanitize=sanitize)
    engine.compile()
    return engine


def _threads(project: Project, cache: File | None, sanitize: Sequence[str]) -> Engine:
    from qfx.sim.threaded import ThreadedSimulator

    engine = ThreadedSimulator(project.path, cache=cache, sanitize=sanitize)
    engine.compile()
    return engine


def _live(project: Project, cache: File | None, sanitize: Sequence[str]) -> Engine:
    from qfx.sim.threaded import ThreadedSimulator, live_depths

    engine = ThreadedSimulator(project.path, live_depths(project.path / "hls"), cache=cache, sanitize=sanitize)
    engine.name = "live"
    engine.compile()
    return engine


_BUILD: dict[str, Callable[[Project, bool], Engine]] = {"sim": _sim, "onnx": _onnx}
_COMPILED: dict[str, Callable[[Project, File | None, Sequence[str]], Engine]] = {"csim": _csim, "threads": _threads, "live": _live}
