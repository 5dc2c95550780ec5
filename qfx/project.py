"""Project directories: what `qfx export` writes and `qfx verify` judges.

    manifest.json          what the project is, its engines, the hash of every file
    graph.json, graph.npz  the network (qfx.ir)
    model.onnx             the network for ONNX Runtime
    golden/                inputs.npy, outputs.npy: recorded codes, by name in .npz where the network has several inputs or
                           outputs; torch.npz: every value as torch computed it
    hls/                   the C++ project
    README.md              how to use it

A project appears complete or not at all: it is written beside its place and renamed. Nothing in it is pickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import tempfile
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qfx import __version__
from qfx.atomic import new_directory
from qfx.errors import InputError, ProjectError
from qfx.export.hls.board import Board, load_board
from qfx.export.hls.folding import Folding
from qfx.export.hls.modes import check_modes
from qfx.export.hls.plan import check_ends
from qfx.fixed import IntArray
from qfx.golden import read_codes, read_inputs, recorded_samples, write_archive, write_codes, writing_codes
from qfx.ir import Graph, load_graph, save_graph
from qfx.manifest import MANIFEST, Manifest, read_manifest
from qfx.progress import Progress, silent
from qfx.sim.engine import Codes, by_input, check_inputs, chunk_size, simulate

if TYPE_CHECKING:
    import torch

JUDGED = "hls"
"""The folder whose files are judged as they lie: a hash that differs is reported, not refused."""

REQUIRED = ("graph.json", "graph.npz", "model.onnx")
"""Files of every project, beside the recorded codes."""


@dataclass(frozen=True)
class Project:
    """A project directory whose files have been checked against its manifest.

    Attributes:
        path: the directory.
        manifest: what it states.
        changed: files of `hls/` that differ from the manifest, relative paths.
    """

    path: Path
    manifest: Manifest
    changed: tuple[str, ...] = field(default=())

    @cached_property
    def graph(self) -> Graph:
        """The network."""
        return load_graph(self.path)

    @cached_property
    def samples(self) -> dict[str, npt.NDArray[np.integer]]:
        """Recorded codes (samples, *shape) of each input, by name."""
        return by_input(self.graph, read_inputs(self.path / golden_file("inputs", self.manifest.inputs)))

    @property
    def inputs(self) -> npt.NDArray[np.integer]:
        """Recorded codes (samples, *shape) of the only input.

        Raises:
            InputError: the network has several; `samples` has them by name.
        """
        if len(self.samples) != 1:
            raise InputError(f"the network has {len(self.samples)} inputs; take the recorded codes of each from `samples`")
        return next(iter(self.samples.values()))

    @property
    def sample_count(self) -> int:
        """How many samples are recorded."""
        return len(next(iter(self.samples.values())))

    @property
    def onnx_file(self) -> Path:
        """The ONNX model."""
        return self.path / "model.onnx"

    @property
    def torch_file(self) -> Path | None:
        """The recorded torch values; None if the project has none."""
        return self.path / "golden/torch.npz" if "golden/torch.npz" in self.manifest.files else None


def golden_file(what: str, names: Collection[str]) -> str:
    """Where the recorded codes of the inputs, or of the outputs, lie: an array, or an archive of several."""
    return f"golden/{what}.np{'y' if len(names) == 1 else 'z'}"


def load_project(path: Path) -> Project:
    """Open a project and check its files.

    Raises:
        ProjectError: no directory, no or a bad manifest, another version, a path that leaves the directory, a missing
            file, or a graph, ONNX or golden file that differs from the manifest.
    """
    if not path.is_dir():
        raise ProjectError(f"{path} is no directory; give the folder that `qfx export` wrote")
    manifest = read_manifest(path)
    for name in (*REQUIRED, golden_file("inputs", manifest.inputs), golden_file("outputs", manifest.outputs)):
        if name not in manifest.files:
            raise ProjectError(f"{path / MANIFEST} does not list {name}; the project is incomplete, export it again")
    changed: list[str] = []
    for name, digest in manifest.files.items():
        file = _inside(path, name)
        if not file.is_file():
            raise ProjectError(f"{path}: {name} is missing; the project is incomplete, export it again")
        if file_hash(file) == digest:
            continue
        if Path(name).parts[0] != JUDGED:
            raise ProjectError(f"{path}: {name} differs from the manifest: it was altered or cut short; export the project again")
        changed.append(name)
    return Project(path, manifest, tuple(changed))


def _inside(path: Path, name: str) -> Path:
    """File `name` of the project at `path`.

    Raises:
        ProjectError: it lies elsewhere.
    """
    file = path / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not file.resolve().is_relative_to(path.resolve()):
        raise ProjectError(f"{path / MANIFEST} lists {name!r}, which lies outside the project")
    return file


def file_hash(file: Path) -> str:
    """sha256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def tool_versions() -> dict[str, str]:
    """Versions of Python and of the packages that made a project."""
    versions = {"qfx": __version__, "python": platform.python_version()}
    for package in ("numpy", "torch", "onnx"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def hashes(folder: Path) -> dict[str, str]:
    """Relative path -> sha256 of every file below `folder`, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in files}


def is_project(path: Path) -> bool:
    """Whether `path` is recognisably a project directory, whatever its state."""
    return path.is_dir() and (path / MANIFEST).is_file() and (path / "graph.json").is_file()


def write_project(
    graph: Graph,
    directory: Path,
    inputs: Codes,
    *,
    model: torch.nn.Module | None = None,
    model_name: str | None = None,
    board: str = "ultra96",
    clock_mhz: float | None = None,
    overwrite: bool = False,
    seed: int = 0,
    progress: Progress = silent,
    allow_unverified_modes: bool = False,
    folding: Folding | None = None,
    axi_bits: int = 64,
) -> Project:
    """Write a project; the directory appears complete or not at all.

    Args:
        graph: the network.
        directory: to make.
        inputs: sample codes (count, *shape), any integer dtype, by input name if there are several; the project records
            them all. If there are fewer than `RECORDED`, corners of the input format and random codes are added.
        model: the torch model that `graph` was lowered from; its values are recorded.
        model_name: `module:factory` of the model, for the manifest.
        board: a folder name in `boards/`.
        clock_mhz: None for the board's.
        overwrite: replace a project that lies at `directory`.
        seed: of the added random codes.
        progress: told what is done.
        allow_unverified_modes: take casts in modes other than AP_TRN, AP_RND and AP_RND_CONV with AP_WRAP and AP_SAT.
        folding: parallelism of every stage, such as `qfx.export.accelerator` finds; None for words of up to 8 codes everywhere.
        axi_bits: of a beat of the AXI streams: 32, 64 or 128.

    Raises:
        ProjectError: `directory` exists and may not be replaced.
        ExportError, ExactnessError: the graph cannot be written as C++ or ONNX.
        InputError: inputs that do not fit the network.
    """
    from qfx.export.hls.project import write_hls

    check_ends(graph)
    check_modes(graph, allow_unverified_modes)
    codes = check_inputs(graph, by_input(graph, inputs))
    facts = load_board(board)
    clock_ns = round(1000 / facts.clock(clock_mhz), 3)
    with new_directory(directory, is_project if overwrite else None) as work:
        samples = recorded_samples(graph, codes, seed)
        outputs = _write_golden(graph, work / "golden", samples)
        progress("write project", 1, 4)
        if model is not None:
            _record_torch(graph, model, samples, work / "golden/torch.npz")
        progress("write project", 2, 4)
        _write_graph(graph, work)
        progress("write project", 3, 4)
        write_hls(
            graph,
            work / JUDGED,
            board,
            samples,
            outputs,
            clock_ns=clock_ns,
            folding=folding,
            axi_bits=axi_bits,
            allow_unverified_modes=allow_unverified_modes,
        )
        (work / "README.md").write_text(_readme(graph, model_name))
        _manifest(graph, work, facts, clock_ns, model is not None, model_name).write(work)
        progress("write project", 4, 4)
    return load_project(directory)


def _write_golden(graph: Graph, folder: Path, samples: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Write recorded inputs and outputs; returns the outputs."""
    folder.mkdir()
    chunks = list(simulate(graph, samples))
    outputs = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in graph.outputs}
    for what, codes in (("inputs", samples), ("outputs", outputs)):
        write_by_name(graph, folder.parent / golden_file(what, codes), codes)
    return outputs


def write_by_name(graph: Graph, file: Path, codes: Mapping[str, npt.NDArray[np.integer]]) -> None:
    """Write the codes of one value as `.npy`, of several as `.npz`, whatever the file is called."""
    if len(codes) == 1:
        name, array = next(iter(codes.items()))
        write_codes(file, array, graph.values[name].type)
    else:
        write_archive(file, codes, {name: graph.values[name].type for name in codes})


@contextlib.contextmanager
def writing_by_name(graph: Graph, file: Path, count: int) -> Generator[Callable[[Mapping[str, IntArray]], None]]:
    """Write `count` samples of the graph's outputs chunk by chunk, as `write_by_name` writes them at once.

    Yields:
        a function that takes the codes of all outputs for the next chunk.
    """
    with contextlib.ExitStack() as stack:
        single = len(graph.outputs) == 1
        folder = file.parent if single else Path(stack.enter_context(tempfile.TemporaryDirectory(dir=file.parent)))
        parts = [file if single else folder / f"{index}.npy" for index in range(len(graph.outputs))]
        with contextlib.ExitStack() as files:
            writers = {
                name: files.enter_context(writing_codes(part, count, graph.values[name]))
                for name, part in zip(graph.outputs, parts, strict=True)
            }

            def write(chunk: Mapping[str, IntArray]) -> None:
                for name, writer in writers.items():
                    writer(chunk[name])

            yield write
        if not single:
            write_by_name(graph, file, {name: read_codes(part) for name, part in zip(graph.outputs, parts, strict=True)})


def _record_torch(graph: Graph, model: torch.nn.Module, samples: Mapping[str, IntArray], file: Path) -> None:
    from qfx.verify.recorded import record
    from qfx.verify.torch_engine import TorchEngine

    record(graph, TorchEngine(model, graph), samples, chunk_size(graph), file)


def _write_graph(graph: Graph, folder: Path) -> None:
    from qfx.export.onnx import onnx_model

    save_graph(graph, folder)
    (folder / "model.onnx").write_bytes(onnx_model(graph).SerializeToString(deterministic=True))


def _manifest(graph: Graph, folder: Path, board: Board, clock_ns: float, recorded: bool, model_name: str | None) -> Manifest:
    return Manifest(
        name=graph.name,
        qfx_version=__version__,
        engines=("torch", "sim", "onnx", "csim") if recorded else ("sim", "onnx", "csim"),
        inputs={name: graph.values[name].type.ap_name for name in graph.inputs},
        outputs={name: graph.values[name].type.ap_name for name in graph.outputs},
        files=hashes(folder),
        board=board.name,
        part=board.part,
        clock_ns=clock_ns,
        created_by=tool_versions(),
        model=model_name,
        host={step.name: step.text() for step in graph.host},
    )


def _host_lines(graph: Graph) -> list[str]:
    """What the README says about the steps of the host."""
    if not graph.host:
        return []
    return [
        "",
        "The model goes on after these outputs. What follows is floating point and is left to the host; `qfx simulate . --host`",
        "computes it with NumPy in float64 (`qfx.host`). It is no part of what `qfx verify` compares.",
        "",
        *(f"- `{step.name} = {step.text()}`" for step in graph.host),
    ]


def _readme(graph: Graph, model_name: str | None) -> str:
    origin = f", from the model `{model_name}`" if model_name else ""
    formats = [(kind, name) for kind, names in (("input", graph.inputs), ("output", graph.outputs)) for name in names]
    rows = [
        f"| {kind} | {name} | {list(graph.values[name].shape)} | `{graph.values[name].type.ap_name}` |" for kind, name in formats
    ]
    return "\n".join(
        [
            f"# {graph.name}",
            "",
            f"Written by QFX {__version__}{origin}. `qfx verify .` compares all engines, `qfx info .` prints the network.",
            "",
            "|  | value | shape | format |",
            "|---|---|---|---|",
            *rows,
            *_host_lines(graph),
            "",
            "| file | holds |",
            "|---|---|",
            "| `hls/` | the C++ project for Vitis HLS; see its README |",
            "| `model.onnx` | the network for ONNX Runtime: integer codes in, integer codes out |",
            "| `graph.json`, `graph.npz` | the network: every format, every constant |",
            "| `golden/` | recorded inputs and outputs, and every value as PyTorch computed it |",
            "| `manifest.json` | versions, and the hash of every file |",
            "",
            "A code is an integer; its value is `code * 2**-frac`, with `frac = W - I` of `ap_fixed<W, I>`.",
            "",
        ]
    )
