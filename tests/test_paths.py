"""A path is text or a `Path`, wherever the library takes one: both do the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch

import qfx
from qfx.cache import Cache
from qfx.cli.demo import new_run
from qfx.cli.estimate import estimate_project
from qfx.cli.factory import load_model
from qfx.cli.info import info
from qfx.export.hls.board import load_board
from qfx.export.hls.design import design
from qfx.export.hls.folding_file import read_folding
from qfx.export.hls.monitor import project_hash
from qfx.export.hls.project import write_hls
from qfx.export.hls.validator import multiplications, validate
from qfx.files import add_text, check_free, check_writable, file_hash, new_directory, new_file, restore, scratch, write_text
from qfx.ir import load_graph, save_graph
from qfx.ops import ReLU
from qfx.ops.sampling import random_codes
from qfx.project import is_project, open_project, read_manifest, verify, write_project
from qfx.project.edits import edited, kept_aside
from qfx.project.golden import read_archive, read_codes, read_inputs, write_archive, write_by_name, write_codes
from qfx.records import read_json, write_json
from qfx.sim.csim import CSimulator
from qfx.sim.csim_layout import load_layout
from qfx.sim.threaded import ThreadedSimulator, live_depths
from qfx.workplace import alone, clear_left, workplace
from tests.hls.build import S6, chain, image

GRAPH = chain("tiny", image(S6, 2, 3, 3), (ReLU(), []))
CODES = random_codes(S6, (5, 2, 3, 3), 1)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_project(GRAPH, home / "project", CODES)
    np.save(home / "x.npy", CODES)
    np.savez(home / "x.npz", x=CODES)
    torch.save({}, home / "net.pt")
    qfx.save(torch.nn.Flatten(), home / "net.qfx")
    return home


Either = str | Path
Kind = Callable[[str], Either]

READ: dict[str, Callable[[str, Kind], object]] = {
    "open_project": lambda home, path: open_project(path(f"{home}/project")).manifest,
    "read_manifest": lambda home, path: read_manifest(path(f"{home}/project")),
    "is_project": lambda home, path: is_project(path(f"{home}/project")),
    "load_graph": lambda home, path: load_graph(path(f"{home}/project")).text(),
    "edited": lambda home, path: edited(path(f"{home}/project")),
    "kept_aside": lambda home, path: kept_aside(path(f"{home}/project"), []),
    "verify": lambda home, path: verify(path(f"{home}/project"), ["sim", "onnx"]),
    "estimate": lambda home, path: estimate_project(path(f"{home}/project"), quiet=True),
    "info": lambda home, path: info(str(path(f"{home}/project"))),
    "read_folding": lambda home, path: read_folding(path(f"{home}/project/hls")),
    "load_layout": lambda home, path: load_layout(path(f"{home}/project/hls")),
    "live_depths": lambda home, path: live_depths(path(f"{home}/project/hls")),
    "project_hash": lambda home, path: project_hash(path(f"{home}/project/hls")),
    "validate": lambda home, path: validate(path(f"{home}/project/hls")),
    "multiplications": lambda home, path: multiplications(path(f"{home}/project/hls")),
    "CSimulator": lambda home, path: CSimulator(path(f"{home}/project"), cache=path(f"{home}/cache")).hls,
    "ThreadedSimulator": lambda home, path: ThreadedSimulator(path(f"{home}/project"), cache=path(f"{home}/cache")).stages,
    "read_codes": lambda home, path: read_codes(path(f"{home}/x.npy")).tolist(),
    "read_archive": lambda home, path: sorted(read_archive(path(f"{home}/x.npz"))),
    "read_inputs": lambda home, path: sorted(read_inputs(path(f"{home}/x.npz"))),
    "read_json": lambda home, path: read_json(path(f"{home}/project/manifest.json")),
    "file_hash": lambda home, path: file_hash(path(f"{home}/x.npy")),
    "load": lambda home, path: str(qfx.load(path(f"{home}/net.qfx"))),
    "load_model": lambda home, path: str(load_model("torch.nn:Identity", path(f"{home}/net.pt"))),
}


@pytest.mark.parametrize("name", READ)
def test_reading(name: str, written: Path, tmp_path: Path) -> None:
    home = shutil.copytree(written, tmp_path / "home")
    assert READ[name](str(home), Path) == READ[name](str(home), str)


def in_the_end(context: AbstractContextManager[object]) -> None:
    with context:
        pass


WRITE: dict[str, Callable[[Either], object]] = {
    "write_project": lambda path: write_project(GRAPH, path, CODES),
    "save": lambda path: qfx.save(torch.nn.Flatten(), path),
    "save_graph": lambda path: (Path(path).mkdir(), save_graph(GRAPH, path)),
    "write_hls": lambda path: write_hls(design(GRAPH), path, load_board("ultra96"), CODES, np.maximum(CODES, 0)),
    "new_directory": lambda path: in_the_end(new_directory(path)),
    "new_run": lambda path: in_the_end(new_run(path)),
    "check_writable": check_writable,
    "workplace": lambda path: in_the_end(workplace(path)),
    "alone": lambda path: (Path(path).mkdir(), in_the_end(alone(path))),
    "clear_left": lambda path: (Path(path).mkdir(), clear_left(path)),
    "scratch": lambda path: (Path(path).mkdir(), in_the_end(scratch(path))),
    "restore": restore,
    "add_text": lambda path: add_text(path, "x"),
    "check_free": check_free,
    "new_file": lambda path: in_the_end(new_file(path)),
    "write_text": lambda path: write_text(path, "x"),
    "write_json": lambda path: write_json(path, {"x": 1}),
    "write_codes": lambda path: write_codes(path, CODES, S6),
    "write_by_name": lambda path: write_by_name(GRAPH, path, {GRAPH.inputs[0]: CODES}),
    "write_archive": lambda path: write_archive(path, {"x": CODES}, {"x": S6}),
    "Cache.store": lambda path: Cache(path).store("aa", Path(__file__)),
}


@pytest.mark.parametrize("name", WRITE)
def test_writing(name: str, tmp_path: Path) -> None:
    found: list[dict[str, bytes]] = []
    for kind in (str, Path):
        home = tmp_path / kind.__name__
        home.mkdir()
        WRITE[name](kind(f"{home}/made"))
        files = (file for file in home.rglob("*") if file.is_file())
        found.append({file.relative_to(home).as_posix(): file.read_bytes() for file in files})
    assert found[0] == found[1]
