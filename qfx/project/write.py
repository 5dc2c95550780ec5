"""Writes project directories: complete, or not at all."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qfx import arguments
from qfx._version import __version__
from qfx.annotations import explained
from qfx.checks import argument, flag
from qfx.engines.protocol import WHOLE, Extent
from qfx.engines.recorded import extent_of
from qfx.errors import InputError
from qfx.export.accelerator import Accelerator, AcceleratorOptions, accelerate
from qfx.export.hls.modes import check_modes
from qfx.export.hls.project import write_hls
from qfx.export.hls.wiring import check_ends
from qfx.files import File, check_free, file_hash, new_directory, new_file, write_text
from qfx.fixed import IntArray
from qfx.ir import Graph, save_graph
from qfx.progress import Progress, silent, step
from qfx.project.directory import Project, golden_file, is_project, open_project
from qfx.project.edits import kept_aside
from qfx.project.golden import recorded_samples, write_by_name
from qfx.project.inventory import JUDGED
from qfx.project.manifest import Manifest
from qfx.project.readme import readme
from qfx.sim.engine import Codes, by_input, check_inputs, chunk_size, simulate_chunks

if TYPE_CHECKING:
    import torch


@explained
def write_project(
    accelerator: Accelerator | Graph,
    path: File,
    samples: Codes,
    model: torch.nn.Module | None = None,
    *,
    model_name: str | None = None,
    overwrite: bool = False,
    seed: int = 0,
    record: str | int = "all",
    progress: Progress = silent,
    allow_unverified_modes: bool = False,
) -> Project:
    """Write a project; the directory appears complete or not at all.

    Args:
        accelerator: what `qfx.export.accelerator` finds for the board wanted; of a graph alone the one on the Ultra96 with words of
            up to 8 codes everywhere.
        path: the directory to make.
        samples: sample codes (count, *shape), any integer dtype, by input name if there are several; the project records
            them all. If there are fewer than `RECORDED`, corners of the input format and random codes are added.
        model: the torch model that the graph was lowered from; its values are recorded.
        model_name: `module:factory` of the model, for the manifest.
        overwrite: replace a project that lies at `path`; one whose C++ or README somebody has edited is kept beside it.
        seed: of the added random codes.
        record: what is kept of torch's values, which are most of a project's size: `all`; `outputs`, those of the network's
            outputs; or a number of samples, the first ones, of which those of every layer are kept.
        progress: told what is done.
        allow_unverified_modes: take casts in modes other than AP_TRN, AP_RND and AP_RND_CONV with AP_WRAP and AP_SAT.

    Raises:
        ProjectError: `path` exists and may not be replaced.
        WriteError: it cannot be written.
        ExportError, ExactnessError: the graph cannot be written as C++ or ONNX.
        InputError: arguments of another kind, samples that do not fit the network, or something else to record.
    """
    arguments.instance("the network", accelerator, (Accelerator, Graph), "what qfx.accelerate or qfx.lower makes is wanted")
    path, seed = arguments.path("the path of the project", path), arguments.whole("the seed", seed, 0)
    arguments.function("progress", progress, "progress(text, done, all)")
    for name, given in (("overwrite", overwrite), ("allow_unverified_modes", allow_unverified_modes)):
        argument("write_project", name, given, flag)
    if model_name is not None:
        arguments.instance("model_name", model_name, str, "text of the form module:factory is wanted")
    if model is not None:
        _check_model(model)
    graph = accelerator if isinstance(accelerator, Graph) else accelerator.graph
    extent = _extent(record, model)
    check_ends(graph)
    check_modes(graph, allow_unverified_modes)
    codes = check_inputs(graph, by_input(graph, samples))
    check_free(path, is_project if overwrite else None)
    made = accelerate(accelerator, AcceleratorOptions(folding="plain")) if isinstance(accelerator, Graph) else accelerator
    with new_directory(path, is_project if overwrite else None, lambda old: kept_aside(old, [old])) as work:
        inputs = recorded_samples(graph, codes, seed)
        _check_count(extent, inputs)
        outputs = _write_golden(graph, work / "golden", inputs, progress)
        if model is not None:
            _record_torch(graph, model, inputs, work / "golden/torch.npz", extent, progress)
        with step(progress, "write the graph and the ONNX model"):
            _write_graph(graph, work)
        folder, unasked = work / JUDGED, allow_unverified_modes
        with step(progress, "write the C++"):
            write_hls(made.design, folder, made.board, inputs, outputs, clock_ns=made.clock_ns, allow_unverified_modes=unasked)
        recorded = None if model is None else extent
        write_text(work / "README.md", readme(graph, model_name, recorded))
        _manifest(made, work, recorded, model_name).write(work)
    return open_project(path)


def _check_model(model: object) -> None:
    from qfx.frontend.given import check_network

    check_network(model, "the model")


def _extent(record: str | int, model: torch.nn.Module | None) -> Extent:
    extent = extent_of(record)
    if model is None and extent != WHOLE:
        raise InputError(f"to record {record!r} of torch's values takes the torch model; give `model`, or leave out `record`")
    return extent


def _check_count(extent: Extent, inputs: Mapping[str, IntArray]) -> None:
    count = len(next(iter(inputs.values())))
    if extent.samples is not None and extent.samples > count:
        raise InputError(
            f"torch's values of {extent.samples} samples were asked for, but the project has {count}; give more samples"
        )


def _write_golden(graph: Graph, folder: Path, samples: Mapping[str, IntArray], progress: Progress) -> dict[str, IntArray]:
    """Write recorded inputs and outputs; returns the outputs."""
    folder.mkdir()
    count, chunks = len(samples[graph.inputs[0]]), list[dict[str, IntArray]]()
    progress("simulate the recorded samples", 0, count)
    for chunk in simulate_chunks(graph, samples):
        chunks.append(chunk)
        progress("simulate the recorded samples", sum(len(part[graph.outputs[0]]) for part in chunks), count)
    outputs = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in graph.outputs}
    for what, codes in (("inputs", samples), ("outputs", outputs)):
        write_by_name(graph, folder.parent / golden_file(what, codes), codes)
    return outputs


def _record_torch(
    graph: Graph, model: torch.nn.Module, samples: Mapping[str, IntArray], file: Path, extent: Extent, progress: Progress
) -> None:
    from qfx.engines.recorded import record
    from qfx.engines.torch_engine import TorchEngine

    engine = TorchEngine(model, graph, outputs_only=extent.outputs_only)
    record(graph, engine, samples, chunk_size(graph), file, extent, progress)


def _write_graph(graph: Graph, folder: Path) -> None:
    from qfx.export.onnx import onnx_model

    save_graph(graph, folder)
    with new_file(folder / "model.onnx") as stream:
        stream.write(onnx_model(graph).SerializeToString(deterministic=True))


def _manifest(made: Accelerator, folder: Path, recorded: Extent | None, model_name: str | None) -> Manifest:
    graph = made.graph
    return Manifest(
        name=graph.name,
        qfx_version=__version__,
        engines=("sim", "onnx", "csim") if recorded is None else ("torch", "sim", "onnx", "csim"),
        inputs={name: graph.values[name].type.ap_name for name in graph.inputs},
        outputs={name: graph.values[name].type.ap_name for name in graph.outputs},
        files=_hashes(folder),
        board=made.board.name,
        part=made.board.part,
        clock_ns=made.clock_ns,
        created_by=tool_versions(),
        model=model_name,
        recorded=recorded or WHOLE,
        host={step.name: step.text() for step in graph.host},
    )


def tool_versions() -> dict[str, str]:
    """Versions of Python and of the packages that made a project."""
    versions = {"qfx": __version__, "python": platform.python_version()}
    for package in ("numpy", "torch", "onnx"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def _hashes(folder: Path) -> dict[str, str]:
    """Relative path -> sha256 of every file below `folder`, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in files}
