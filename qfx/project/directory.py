"""Opens project directories, and checks their files."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qfx import arguments, notebook
from qfx.annotations import explained
from qfx.errors import InputError, ProjectError
from qfx.files import File, restore
from qfx.ir import Graph, load_graph
from qfx.project.golden import read_inputs
from qfx.project.inventory import JUDGED, compare_files, shown
from qfx.project.manifest import MANIFEST, Manifest, read_manifest
from qfx.sim.engine import by_input

REQUIRED = ("graph.json", "graph.npz", "model.onnx")
"""Files of every project, beside the recorded codes."""


@dataclass(frozen=True, repr=False)
class Project:
    """A project directory whose files have been checked against its manifest.

    Attributes:
        path: the directory.
        manifest: what it states.
        changed: files of `hls/` that differ from the manifest, relative paths.
        added: files and links that the manifest does not list, relative paths.
    """

    path: Path
    manifest: Manifest
    changed: tuple[str, ...] = field(default=())
    added: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        stated = self.manifest
        changed = f", {len(self.changed)} files of the C++ changed" if self.changed else ""
        changed += f", {len(self.added)} files added" if self.added else ""
        target = f"{stated.board}, {stated.clock_ns:g} ns{changed}"
        return f"Project({str(self.path)!r}: {stated.name}, engines {', '.join(stated.engines)}; {target})"

    def _repr_html_(self) -> str:
        """For notebooks: the formats of its ends, and files of the C++ that were changed."""
        ends = {"input": self.manifest.inputs, "output": self.manifest.outputs}
        rows = [(kind, name, type) for kind, types in ends.items() for name, type in types.items()]
        rows += [("changed", name, "differs from the manifest") for name in self.changed]
        rows += [("added", shown(name), "is not in the manifest") for name in self.added]
        return notebook.table(repr(self), ("", "value", "format"), rows)

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


@explained
def open_project(path: File, strict: bool = False) -> Project:
    """Open a project and check its files.

    Args:
        strict: refuse any difference from the manifest: a file that was edited, is missing or was added.

    Raises:
        InputError: no path.
        ProjectError: no directory, no or a bad manifest, another version, a path that leaves the directory, a missing
            file, or a graph, ONNX or golden file that differs from the manifest.
        AlteredError: where `strict` is wanted, any difference; it names all of them.
    """
    path = arguments.path("the project", path)
    if not arguments.lies(path.is_dir):
        restore(path)
    if not arguments.lies(path.is_dir):
        raise ProjectError(f"{path} is no directory; give the folder that `qfx export` wrote")
    manifest = read_manifest(path)
    for name in (*REQUIRED, golden_file("inputs", manifest.inputs), golden_file("outputs", manifest.outputs)):
        if name not in manifest.files:
            raise ProjectError(f"{path / MANIFEST} does not list {name}; the project is incomplete, export it again")
    for name in manifest.files:
        _check_inside(path, name)
    found = compare_files(path, manifest.files)
    if strict:
        found.check(path)
    for name in found.missing:
        raise ProjectError(f"{path}: {name} is missing; the project is incomplete, export it again")
    for name in found.edited:
        if Path(name).parts[0] != JUDGED:
            raise ProjectError(f"{path}: {name} differs from the manifest: it was altered or cut short; export the project again")
    return Project(path, manifest, found.edited, found.added)


def _check_inside(path: Path, name: str) -> None:
    """Whether file `name` belongs to the project at `path`.

    Raises:
        ProjectError: it lies elsewhere.
    """
    file = path / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not _real(file).is_relative_to(_real(path)):
        raise ProjectError(f"{path / MANIFEST} lists {name!r}, which lies outside the project")


def _real(path: Path) -> Path:
    """Without links; one that leads to itself stays, which Path.resolve would not have."""
    return Path(os.path.realpath(path))


def is_project(path: File) -> bool:
    """Whether `path` is recognisably a project directory, whatever its state."""
    path = Path(path)
    return path.is_dir() and (path / MANIFEST).is_file() and (path / "graph.json").is_file()
