"""Networks of several inputs and outputs as projects: recorded, verified in all engines, and from the command line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from qfx.errors import InputError, LoweringError, ProjectError
from qfx.fixed import FixedType, IntArray
from qfx.frontend import lower
from qfx.project import open_project, verify, write_project
from qfx.project.golden import RECORDED, read_archive, recorded_samples, write_archive
from qfx.project.verification import choose_samples
from qfx.sim import Simulator, simulate_chunks
from tests.test_cli import MODELS, qfx
from tests.user_models import net, pair

SHAPES = {"image": (2, 5, 6), "side": (3,)}
GRAPH = lower(pair(), SHAPES, "pair")
ELEMENTS = sum(GRAPH.values[node.name].size for node in GRAPH.nodes)
OUTPUTS = {"scores": (4,), "features": (3, 5, 6), "pool": (3, 2, 3)}


def samples(count: int, seed: int) -> dict[str, IntArray]:
    rng = np.random.default_rng(seed)
    return {"image": rng.integers(0, 16, (count, 2, 5, 6)), "side": rng.integers(-64, 64, (count, 3))}


SAMPLES = samples(110, 3)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's directory, and the project exported there."""
    home = tmp_path_factory.mktemp("home")
    (home / "models.py").write_text(MODELS.read_text())
    torch.save(pair().state_dict(), home / "pair.pt")
    np.savez(home / "x.npz", allow_pickle=False, **SAMPLES)
    np.savez(home / "other.npz", allow_pickle=False, **samples(5, 4))
    np.save(home / "image.npy", SAMPLES["image"])
    common = ("--weights", "pair.pt", "--out", "project", "--name", "pair")
    qfx("export", "models:pair", "--sample", "x.npz", *common, cwd=home)
    return home


@pytest.fixture
def path(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home / "project", tmp_path / "net"))


def test_the_network_is_what_this_is_about() -> None:
    assert GRAPH.inputs == ["image", "side"] and [GRAPH.values[name].shape for name in GRAPH.outputs] == [*OUTPUTS.values()]
    assert len(GRAPH.consumers(GRAPH.outputs[1])) == 2 and not GRAPH.consumers(GRAPH.outputs[0])


def test_what_is_written(path: Path) -> None:
    project = open_project(path)
    golden = {"golden/inputs.npz", "golden/outputs.npz", "golden/torch.npz"}
    assert {name for name in project.manifest.files if name.startswith("golden")} == golden
    assert project.manifest.inputs == {"image": "ap_ufixed<4, 2>", "side": "ap_fixed<7, 4>"}
    assert project.sample_count == 110 and {str(codes.dtype) for codes in project.samples.values()} == {"uint8", "int8"}
    wanted = Simulator(GRAPH).run(SAMPLES)
    for name, codes in (project.samples | read_archive(path / "golden/outputs.npz")).items():
        np.testing.assert_array_equal(codes, wanted[name])
    with pytest.raises(InputError, match="the network has 2 inputs; take the recorded codes of each from `samples`"):
        _ = project.inputs


def test_all_engines_at_every_value(path: Path) -> None:
    report = verify(open_project(path))
    assert report.engines == ("torch", "sim", "onnx", "csim")
    assert (report.samples, report.mismatches, report.values_compared) == (110, 0, 110 * ELEMENTS * 3)


def test_without_a_model(tmp_path: Path) -> None:
    project = write_project(GRAPH, tmp_path / "net", {name: codes[:7] for name, codes in SAMPLES.items()})
    assert project.sample_count == RECORDED
    report = verify(project, samples=60, seed=2)
    assert (report.engines, report.samples, report.mismatches) == (("sim", "onnx", "csim"), 60, 0)
    again = write_project(GRAPH, tmp_path / "again", {name: codes[:7] for name, codes in SAMPLES.items()})
    assert again.manifest == project.manifest


@pytest.mark.parametrize("table", ["conv_weight_table", "side_head_weight_table"])
def test_a_weight_changed_in_the_cpp_is_found_and_named(path: Path, table: str) -> None:
    file = path / "hls/weights.hpp"
    text = file.read_text()
    found = re.compile(rf"{table}\[.*?{{0x([0-9a-f]+)", re.DOTALL).search(text)
    assert found is not None
    changed = f"{int(found[1], 16) ^ 1:0{len(found[1])}x}"
    file.write_text(text[: found.start(1)] + changed + text[found.end(1) :])
    report = verify(open_project(path))
    assert report.first is not None and report.first.layer == table.removesuffix("_weight_table")
    assert report.first.engines == ("csim",)


def test_ports_that_change_places_in_the_cpp_are_found(path: Path) -> None:
    top = path / "hls/pair.cpp"
    lines = top.read_text().splitlines()
    first, second = (index for index, line in enumerate(lines) if "axi_in<" in line)
    lines[first], lines[second] = (
        re.sub(r"\((\w+), ", "(s_in_side, ", lines[first]),
        re.sub(r"\((\w+), ", "(s_in_image, ", lines[second]),
    )
    top.write_text("\n".join(lines))
    with pytest.raises(ProjectError):
        verify(open_project(path))


@pytest.mark.parametrize("name", ["golden/inputs.npz", "golden/outputs.npz"])
def test_altered_golden_codes_are_refused(path: Path, name: str) -> None:
    (path / name).write_bytes((path / name).read_bytes() + b" ")
    with pytest.raises(ProjectError, match=re.escape(f"{name} differs from the manifest: it was altered or cut short")):
        open_project(path)
    (path / name).unlink()
    with pytest.raises(ProjectError, match=re.escape(f"{name} is missing; the project is incomplete, export it again")):
        open_project(path)


def test_torch_knows_a_sample_by_all_of_its_inputs(path: Path) -> None:
    project = open_project(path)
    assert verify(project, ["torch", "sim"], {name: codes[::-7] for name, codes in SAMPLES.items()}).mismatches == 0
    mixed = {"image": SAMPLES["image"], "side": SAMPLES["side"][::-1]}
    assert verify(project, inputs=mixed, samples=3).engines == ("sim", "onnx", "csim")
    live = verify(project, ["torch", "sim"], mixed, samples=3, model=pair())
    assert (live.samples, live.mismatches) == (3, 0)


def test_random_samples(path: Path) -> None:
    project = open_project(path)
    one, other = choose_samples(project, seed=1), choose_samples(project, seed=2)
    assert {name: codes.shape for name, codes in one.items()} == {name: (RECORDED, *shape) for name, shape in SHAPES.items()}
    assert all(np.any(one[name] != other[name]) for name in SHAPES)
    recorded = recorded_samples(GRAPH, {name: codes[:3] for name, codes in SAMPLES.items()})
    assert {len(codes) for codes in recorded.values()} == {RECORDED}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (SAMPLES["image"], "the network has 2 inputs; give the codes of each by its name: image, side"),
        ({"image": SAMPLES["image"]}, "input 'side' is missing; the network wants image, side"),
        (SAMPLES | {"sound": SAMPLES["side"]}, "'sound' is no input of the network; it wants image, side"),
        (SAMPLES | {"side": SAMPLES["side"][:9]}, "the inputs hold different numbers of samples: 110 of 'image', 9 of 'side'"),
    ],
)
def test_inputs_that_do_not_fit(path: Path, tmp_path: Path, inputs: dict[str, IntArray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        verify(open_project(path), inputs=inputs)
    with pytest.raises(InputError, match=message):
        write_project(GRAPH, tmp_path / "new", inputs)


def test_different_numbers_of_samples_are_not_simulated() -> None:
    inputs = SAMPLES | {"side": SAMPLES["side"][:9]}
    message = "the inputs hold different numbers of samples: 110 of 'image', 9 of 'side'"
    with pytest.raises(InputError, match=message):
        Simulator(GRAPH).run(inputs)
    with pytest.raises(InputError, match=message):
        list(simulate_chunks(GRAPH, inputs, chunk=5))


def test_shapes_by_name() -> None:
    assert lower(pair(), dict(reversed(SHAPES.items())), "pair").text() == GRAPH.text()
    with pytest.raises(LoweringError, match="the model reads the inputs image, side, but what was given is image, x"):
        lower(pair(), {"image": (2, 5, 6), "x": (3,)})


def test_an_archive_takes_every_name(tmp_path: Path) -> None:
    codes = {name: np.arange(-2, 3) for name in ("file", "a.b", "a/b")}
    write_archive(tmp_path / "x.npz", codes, dict.fromkeys(codes, FixedType(True, 9, 0)))
    found = read_archive(tmp_path / "x.npz")
    assert [*found] == [*codes] and all(np.array_equal(array, codes["file"]) for array in found.values())
    assert {str(array.dtype) for array in found.values()} == {"int16"} and len([*tmp_path.iterdir()]) == 1


def test_files_that_are_no_archive_of_codes(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    with pytest.raises(InputError, match=r"x.npz cannot be read: No such file or directory"):
        read_archive(file)
    file.write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"x.npz is no NumPy .npz archive of numbers: "):
        read_archive(file)
    with file.open("wb") as stream:
        np.save(stream, np.arange(3))
    with pytest.raises(InputError, match=r"x.npz is one array; an .npz archive holds the codes by name"):
        read_archive(file)
    np.savez(file, a=np.arange(3), b=np.ones(3))
    with pytest.raises(InputError, match=r"x.npz: 'b' holds float64; integer codes are wanted"):
        read_archive(file)


def test_verify_on_the_command_line(home: Path) -> None:
    assert "torch = sim = onnx = csim: 110 samples" in qfx("verify", "project", cwd=home).stdout
    assert "sim = onnx = csim: 5 samples" in qfx("verify", "project", "--inputs", "other.npz", cwd=home).stdout
    live = ("--engines", "torch,sim", "--inputs", "other.npz", "--model", "models:pair", "--weights", "pair.pt")
    assert "torch = sim: 5 samples" in qfx("verify", "project", *live, cwd=home).stdout
    message = "error: the network has 2 inputs; give the codes of each by its name: image, side"
    assert message in qfx("verify", "project", "--inputs", "image.npy", cwd=home, code=2).stderr
    assert "110 recorded samples" in qfx("info", "project", cwd=home).stdout


def test_simulate_on_the_command_line(home: Path) -> None:
    told = qfx("simulate", "project", "--inputs", "other.npz", "--out", "y.npz", cwd=home).stdout
    assert "y.npz: 5 samples of " in told
    wanted = Simulator(GRAPH).run(samples(5, 4))
    found = read_archive(home / "y.npz")
    assert [*found] == GRAPH.outputs
    for name, codes in found.items():
        np.testing.assert_array_equal(codes, wanted[name])
    message = "error: the network has 3 outputs, " + ", ".join(GRAPH.outputs) + "; give --out a name that ends in .npz"
    assert message in qfx("simulate", "project", "--inputs", "other.npz", "--out", "y.npy", cwd=home, code=2).stderr


def test_what_export_refuses(home: Path) -> None:
    def refused(sample: str) -> str:
        common = ("--weights", "pair.pt", "--out", "refused", "--sample", sample)
        return qfx("export", "models:pair", *common, cwd=home, code=2).stderr

    assert "error: the model reads 2 inputs, but 1 input shapes were given" in refused("image.npy")
    np.savez(home / "half.npz", image=SAMPLES["image"])
    assert "error: the model reads the inputs image, side, but what was given is image" in refused("half.npz")
    np.savez(home / "flat.npz", image=SAMPLES["image"], side=np.zeros(110, np.int64))
    assert "flat.npz: 'side' has shape (110,); samples are wanted as (count, " in refused("flat.npz")


def test_one_array_by_name_is_taken_for_one_input(home: Path) -> None:
    torch.save(net().state_dict(), home / "net.pt")
    np.savez(home / "one.npz", input=SAMPLES["image"])
    qfx("export", "models:net", "--weights", "net.pt", "--sample", "one.npz", "--out", "one", cwd=home)
    assert open_project(home / "one").sample_count == 110
