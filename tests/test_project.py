"""Project directories: complete or absent, checked when they are opened."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qfx import workplace as module
from qfx.errors import ExportError, InputError, ProjectError, QfxWarning, WriteError
from qfx.files import file_hash
from qfx.fixed import FixedType, code_dtype
from qfx.ops.sampling import random_codes
from qfx.project import is_project, open_project, write_project
from qfx.project.golden import RECORDED, read_codes, recorded_samples, write_codes
from qfx.sim import Simulator
from tests.networks import residual_network

GRAPH = residual_network()
IMAGES = random_codes(GRAPH.values["x"].type, (120, 2, 5, 6), 3).astype(np.uint8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "net"
    write_project(GRAPH, path, IMAGES, model_name="models:net")
    return path


@pytest.fixture
def path(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "net"))


def edit_manifest(path: Path, **changes: Any) -> None:
    file = path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_is_written_is_read(path: Path) -> None:
    project = open_project(path)
    assert project.graph.text() == GRAPH.text()
    assert project.inputs.dtype == np.uint8
    np.testing.assert_array_equal(project.inputs, IMAGES)
    np.testing.assert_array_equal(read_codes(path / "golden/outputs.npy"), Simulator(GRAPH).run({"x": IMAGES})["head"])
    assert project.changed == () and project.torch_file is None
    assert list(path.parent.iterdir()) == [path]


def test_the_manifest_states_everything(path: Path) -> None:
    manifest = open_project(path).manifest
    files = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    assert set(manifest.files) == files - {"manifest.json"}
    assert manifest.files["graph.json"] == hashlib.sha256((path / "graph.json").read_bytes()).hexdigest()
    assert (manifest.format, manifest.engines, manifest.model) == (1, ("sim", "onnx", "csim"), "models:net")
    assert (manifest.inputs, manifest.outputs) == ({"x": "ap_ufixed<4, 2>"}, {"head": "ap_fixed<13, 4>"})
    assert (manifest.board, manifest.part, manifest.clock_ns) == ("ultra96", "xczu3eg-sbva484-1-i", 5.333)
    assert {"qfx", "python", "numpy", "torch", "onnx"} == set(manifest.created_by)


def test_two_exports_are_equal(path: Path, tmp_path: Path) -> None:
    write_project(GRAPH, tmp_path / "again", IMAGES, model_name="models:net")
    assert (tmp_path / "again/manifest.json").read_text() == (path / "manifest.json").read_text()


def test_few_samples_are_filled_up() -> None:
    recorded = recorded_samples(GRAPH, IMAGES[:3], seed=5)
    assert len(recorded) == RECORDED == 100
    np.testing.assert_array_equal(recorded[:3], IMAGES[:3])
    assert recorded[3].min() == recorded[3].max() == 0 and recorded[4].min() == recorded[4].max() == 15
    np.testing.assert_array_equal(recorded, recorded_samples(GRAPH, IMAGES[:3], seed=5))
    assert np.any(recorded != recorded_samples(GRAPH, IMAGES[:3], seed=6))
    assert len(recorded_samples(GRAPH, IMAGES)) == 120
    assert len(recorded_samples(GRAPH, IMAGES[:96])) == 100


def test_an_existing_directory_is_an_error(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=re.escape(f"{path} exists already; choose another directory, or ask to overwrite it")):
        write_project(GRAPH, path, IMAGES)
    (tmp_path / "theirs").mkdir()
    with pytest.raises(ProjectError, match="theirs was not written by QFX, so it is not overwritten"):
        write_project(GRAPH, tmp_path / "theirs", IMAGES, overwrite=True)


def test_overwriting_replaces_all(path: Path) -> None:
    (path / "hls/left_over.txt").write_text("x")
    write_project(GRAPH, path, IMAGES, overwrite=True)
    assert not (path / "hls/left_over.txt").exists()
    assert open_project(path).changed == ()


EDITS: dict[str, Callable[[Path], object]] = {
    "hls/layers.hpp": lambda path: (path / "hls/layers.hpp").write_text("// mine\n"),
    "README.md": lambda path: (path / "README.md").write_text("mine\n"),
    "hls/kernels/mine.hpp": lambda path: (path / "hls/kernels/mine.hpp").write_text("// mine\n"),
    "hls/ap_fixed.h": lambda path: (path / "hls/ap_fixed.h").write_text("// mine\n"),
    "hls/mine.cc": lambda path: (path / "hls/mine.cc").write_text("// mine\n"),
    "hls/mine.mk": lambda path: (path / "hls/mine.mk").write_text("mine:\n"),
    "manifest.json": lambda path: (path / "manifest.json").write_text("{"),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_somebody_has_edited_is_kept_beside_the_new_project(path: Path, name: str) -> None:
    for former in ("net.edited", "net.edited2"):
        EDITS[name](path)
        text = (path / name).read_text()
        message = f"{name} in {path} changed after QFX wrote it; the former net is now {path.with_name(former)}"
        with pytest.warns(QfxWarning, match=f"^{re.escape(message)}$"):
            write_project(GRAPH, path, IMAGES, overwrite=True)
        assert open_project(path).changed == () and (path.with_name(former) / name).read_text() == text
    assert sorted(file.name for file in path.parent.iterdir()) == ["net", "net.edited", "net.edited2"]


def test_many_edits_are_counted(path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        (path / "hls" / f"{name}.cpp").write_text("// mine\n")
    with pytest.warns(QfxWarning, match=re.escape("hls/a.cpp, hls/b.cpp, hls/c.cpp and 2 more in")):
        write_project(GRAPH, path, IMAGES, overwrite=True)


def test_what_nobody_has_edited_is_not_kept(path: Path) -> None:
    """A damaged project, and what tools leave behind."""
    (path / "graph.npz").write_bytes(b"damaged")
    (path / "hls/types.hpp").unlink()
    (path / "hls/vitis_hls.log").write_text("x")
    (path / "hls/residual_prj/solution1").mkdir(parents=True)
    (path / "hls/residual_prj/solution1/top.cpp").write_text("x")
    write_project(GRAPH, path, IMAGES, overwrite=True)
    assert list(path.parent.iterdir()) == [path] and open_project(path).changed == ()


def test_an_edited_project_stays_where_it_is_if_the_new_one_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(errno.EIO, "Input/output error", str(self), None, str(target))
        return rename(self, target)

    EDITS["hls/layers.hpp"](path)
    monkeypatch.setattr(Path, "rename", fails)
    with (
        pytest.warns(QfxWarning),
        pytest.raises(WriteError, match=f"^{path} cannot be written: Input/output error; choose another"),
    ):
        write_project(GRAPH, path, IMAGES, overwrite=True)
    assert list(path.parent.iterdir()) == [path] and open_project(path).changed == ("hls/layers.hpp",)


def test_a_project_that_was_being_replaced_is_found(path: Path) -> None:
    """By whoever opens it; `tests/test_workplace.py` has the rest."""
    place = path.with_name(".qfx-" + module._kernel() + "-" + "0" * 16)  # pyright: ignore[reportPrivateUsage]
    (place / "new").mkdir(parents=True)
    (place / "lock").write_text("net")
    path.rename(place / "old")
    with pytest.warns(QfxWarning, match=f"{path}: a run was killed while it replaced it; the former one has been put back"):
        assert open_project(path).changed == ()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError("disk full"), KeyboardInterrupt()])
def test_an_interrupted_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("qfx.project.write.write_hls", fail)
    with pytest.raises(type(error)):
        write_project(GRAPH, tmp_path / "a" / "net", IMAGES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["head", "x"], "output 'x' of graph 'residual' is not computed; only what a layer computes can be an output"),
        (["head", "head"], "graph 'residual' has the output 'head' 2 times; give it once"),
    ],
)
def test_outputs_that_are_refused(tmp_path: Path, outputs: list[str], message: str) -> None:
    graph = residual_network()
    graph.outputs = outputs
    with pytest.raises(ExportError, match=message):
        write_project(graph, tmp_path / "net", IMAGES)
    assert list(tmp_path.iterdir()) == []


def test_inputs_have_to_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape("input 'x' has codes from 16 to 16, outside 0..15 of ap_ufixed<4, 2>")):
        write_project(GRAPH, tmp_path / "net", np.full((2, 2, 5, 6), 16))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["graph.json", "graph.npz", "model.onnx", "golden/inputs.npy", "golden/outputs.npy", "README.md", "hls/weights.hpp"]
)
def test_a_missing_file_is_named(path: Path, name: str) -> None:
    (path / name).unlink()
    with pytest.raises(ProjectError, match=re.escape(f"{name} is missing; the project is incomplete, export it again")):
        open_project(path)


@pytest.mark.parametrize("name", ["graph.json", "graph.npz", "model.onnx", "golden/inputs.npy", "golden/outputs.npy"])
@pytest.mark.parametrize("cut", [True, False])
def test_an_altered_file_is_refused(path: Path, name: str, cut: bool) -> None:
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[: len(data) // 2] if cut else data + b" ")
    with pytest.raises(ProjectError, match=re.escape(f"{name} differs from the manifest: it was altered or cut short")):
        open_project(path)


def test_changed_cpp_is_reported_not_refused(path: Path) -> None:
    file = path / "hls/weights.hpp"
    file.write_text(file.read_text() + "// edited\n")
    assert open_project(path).changed == ("hls/weights.hpp",)


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "golden/../../outside", "link/passwd"])
def test_a_path_that_leaves_the_project_is_refused(path: Path, name: str) -> None:
    (path.parent / "outside").write_text("x")
    (path / "link").symlink_to("/etc")
    edit_manifest(path, files={**json.loads((path / "manifest.json").read_text())["files"], name: "0"})
    with pytest.raises(ProjectError, match=re.escape(f"lists {name!r}, which lies outside the project")):
        open_project(path)


@pytest.mark.parametrize("clock", [0, -5.333, 1e10])
def test_a_clock_that_cannot_be(path: Path, clock: float) -> None:
    edit_manifest(path, clock_ns=clock)
    message = rf"manifest.json: clock_ns is {float(clock)}; the period of a clock lies above 0 and up to 1e\+09 ns"
    with pytest.raises(ProjectError, match=message):
        open_project(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 5000, "x{80} cannot be read: File name too long"),
        (".", r"net: \. is missing"),
        ("", "net:  is missing"),
        ("loop", "net: loop cannot be read: Too many levels of symbolic links|net: loop is missing"),
    ],
)
def test_names_that_are_no_files(path: Path, name: str, message: str) -> None:
    (path / "loop").symlink_to("loop")
    edit_manifest(path, files={**json.loads((path / "manifest.json").read_text())["files"], name: "0"})
    with pytest.raises(ProjectError, match=message):
        open_project(path)


def test_a_manifest_that_is_a_link_to_itself(path: Path) -> None:
    (path / "manifest.json").unlink()
    (path / "manifest.json").symlink_to("manifest.json")
    with pytest.raises(ProjectError, match=r"has no manifest.json|Too many levels of symbolic links"):
        open_project(path)


def test_the_manifest_has_to_list_what_is_needed(path: Path) -> None:
    edit_manifest(path, files={})
    with pytest.raises(ProjectError, match=r"manifest.json does not list graph.json; the project is incomplete"):
        open_project(path)


def test_another_version_is_refused(path: Path) -> None:
    edit_manifest(path, format=2, qfx_version="9.0")
    with pytest.raises(
        ProjectError,
        match=re.escape("has format 2; this QFX reads format 1. Export the project again, or use the QFX that wrote it (9.0)"),
    ):
        open_project(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engines", "sim"),
        ("engines", [1]),
        ("files", []),
        ("files", {"graph.json": 1}),
        ("clock_ns", "5"),
        ("model", 3),
        ("name", None),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(path: Path, field: str, value: object) -> None:
    edit_manifest(path, **{field: value})
    with pytest.raises(
        ProjectError, match=rf"field '{field}(\[0\]|\.graph\.json)?' is missing or of the wrong kind; the project was altered"
    ):
        open_project(path)


@pytest.mark.parametrize("field", ["name", "engines", "files", "model", "part"])
def test_a_missing_field_is_named(path: Path, field: str) -> None:
    file = path / "manifest.json"
    file.write_text(json.dumps({key: item for key, item in json.loads(file.read_text()).items() if key != field}))
    with pytest.raises(ProjectError, match=f"field '{field}' is missing or of the wrong kind"):
        open_project(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "has no manifest.json; it is no QFX project"), ("{", "cannot be read as JSON"), ("[]", "does not hold a JSON object")],
)
def test_no_manifest(path: Path, text: str | None, message: str) -> None:
    (path / "manifest.json").unlink()
    if text is not None:
        (path / "manifest.json").write_text(text)
    with pytest.raises(ProjectError, match=message):
        open_project(path)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="none is no directory; give the folder that `qfx export` wrote"):
        open_project(tmp_path / "none")
    assert not is_project(tmp_path)


def test_nothing_is_pickled(path: Path) -> None:
    for file in path.rglob("*.np[yz]"):
        np.load(file, allow_pickle=False)


def test_file_hash(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10000
    (tmp_path / "f").write_bytes(data)
    assert file_hash(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_codes_are_written_narrow_and_complete(tmp_path: Path) -> None:
    file = tmp_path / "codes"
    write_codes(file, np.array([[-3, 4]]), FixedType(True, 9, 2))
    assert read_codes(file).dtype == np.int16 == code_dtype(FixedType(True, 9, 2))
    assert list(tmp_path.iterdir()) == [file]


def test_files_of_codes_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "codes.npy"
    with pytest.raises(InputError, match=r"codes.npy cannot be read: No such file or directory"):
        read_codes(file)
    for content in (b"", b"hello", b"\x93NUMPY\x01\x00", b"PK\x03\x04broken"):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"codes.npy is no NumPy .npy file of numbers"):
            read_codes(file)
    np.save(file, np.array([{}]), allow_pickle=True)
    with pytest.raises(
        InputError, match=r"codes.npy is no NumPy .npy file of numbers: it holds Python objects, which are never unpickled"
    ):
        read_codes(file)
    np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"codes.npy holds float64; integer codes are wanted"):
        read_codes(file)
    with file.open("wb") as stream:
        np.savez(stream, a=np.zeros(3))
    with pytest.raises(InputError, match=r"codes.npy is an archive of arrays; give one .npy file"):
        read_codes(file)
