"""The speed benchmark: the engines' processes, what is promised, and what happens without a peer."""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmarks import sim_speed
from benchmarks.sim_speed import (
    ENGINES,
    EXACT,
    Streamed,
    Timing,
    main,
    missed,
    ratio,
    require_peers,
    rows,
    targets,
    worker,
    write_network,
)
from qfx.errors import InputError, ProjectError, ToolMissingError

TIMINGS = {
    name: Timing([rate, 2 * rate, rate], mib=10.0) for name, rate in zip(ENGINES, (1000.0, 200.0, 500.0, 10.0, 2.0), strict=True)
}
TIMINGS["csim"].compiles, TIMINGS["hls4ml"].compiles = [4.0, 5.0, 6.0], [10.0, 9.0, 11.0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speed") / "cifar-small"
    write_network("cifar-small", path)
    return path


def test_engines_agree_and_answer(folder: Path) -> None:
    codes: list[object] = []
    for name in (*EXACT, "float"):
        with worker(name, folder) as process:
            answer = process.ask("codes", images=2)["codes"]
            assert np.shape(answer) == (2, 10)
            if name in EXACT:
                codes.append(answer)
            assert process.ask("run", images=2)["seconds"] > 0
            assert process.ask("memory")["mib"] > 10
    assert codes[0] == codes[1] == codes[2]


def test_streaming(folder: Path) -> None:
    streamed = sim_speed.stream(folder, 3)
    assert streamed.images == 3 and streamed.seconds > 0 and streamed.mib > 10
    assert np.load(folder / "images.npy").shape == (3, 3, 32, 32)


def test_a_process_that_ends(folder: Path, tmp_path: Path) -> None:
    with (
        worker("numpy", folder) as process,
        pytest.raises(ProjectError, match=r"(?s)numpy ended with status 1 at 'dance':.*KeyError"),
    ):
        process.ask("dance")
    with worker("numpy", tmp_path) as process, pytest.raises(ProjectError, match=r"numpy ended with status 2 at 'run':\n"):
        process.ask("run", images=1)


def test_promises() -> None:
    found = targets(TIMINGS, Streamed(50_000, 100.0, 512.0))
    values = {str(entry["name"]).partition(": ")[2]: (entry["value"], entry["target"], entry["sense"]) for entry in found}
    assert list(values.values()) == [
        (0.2, 0.15, ">="),
        (0.2, 0.25, ">="),
        (100.0, 50.0, ">="),
        (0.5, 0.4, ">="),
        (0.5, 1.0, "<="),
        (5.0, 3.0, ">="),
        (0.5, 1.0, "<="),
    ]
    assert missed(found) == []
    assert missed(
        [{"name": "a", "value": 2.0, "target": 1.0, "sense": "<="}, {"name": "b", "value": 0, "target": 1, "sense": ">="}]
    ) == [
        "a",
        "b",
    ]


def test_ratios_are_of_the_same_round() -> None:
    a, b = Timing([1.0, 20.0, 300.0]), Timing([2.0, 10.0, 100.0])
    assert ratio({"a": a, "b": b}, "a", "b") == 2.0


def test_rows() -> None:
    table = rows({"cifar-small": TIMINGS}, Streamed(500, 10.0, 99.0))
    assert [row["engine"] for row in table] == [*ENGINES, "numpy"]
    assert table[3]["of_hls4ml"] == 5.0 and table[3]["compile_s"] == 5.0 and table[0]["compile_s"] is None
    assert table[-1]["images"] == 500 and table[-1]["images_per_s"] == 50.0


@pytest.fixture
def no_hls4ml(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    load = importlib.import_module

    def without(name: str, package: str | None = None) -> ModuleType:
        if name == "hls4ml":
            raise ImportError("No module named 'h5py'")
        return load(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    yield


def test_a_missing_peer(no_hls4ml: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = r"compares with hls4ml, which does not import \(No module named 'h5py'\): make bench-env"
    with pytest.raises(ToolMissingError, match=wanted):
        require_peers()
    assert main(["--json", str(tmp_path / "x.json")]) == 3
    assert "make bench-env" in capsys.readouterr().out and not (tmp_path / "x.json").exists()


def test_all_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sim_speed, "require_peers", lambda: None)
    for name, result in (("write_network", None), ("measure", TIMINGS), ("stream", Streamed(7, 10.0, 2048.0))):
        monkeypatch.setattr(sim_speed, name, functools.partial(_given, result))
    assert main(["--images", "7", "--json", str(tmp_path / "x.json")]) == 1
    printed = capsys.readouterr().out
    assert "missed: cifar-small: peak memory of the NumPy engine over 7 images, GiB: 2.000 (target <= 1.0)" in printed
    assert "stretch: cifar-small" in printed and printed.count("reached: ") == 5
    written = json.loads((tmp_path / "x.json").read_text())
    assert len(written["rows"]) == 11 and len(written["targets"]) == 7


def _given(result: object, *_: object) -> object:
    return result


def test_an_engine_without_a_compiler(folder: Path) -> None:
    from benchmarks._sim_engines import NumPyEngine

    with pytest.raises(InputError, match="NumPyEngine compiles nothing"):
        NumPyEngine(folder).compile()
