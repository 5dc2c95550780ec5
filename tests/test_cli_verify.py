"""`qfx verify` of several projects: the worst exit code, JUnit, the text report, the cache."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from qfx.ops import ReLU
from qfx.ops.sampling import random_codes
from qfx.project import write_project
from tests.hls.build import S6, chain, image
from tests.test_cli import qfx

GRAPH = chain("tiny", image(S6, 2, 3, 3), (ReLU(), []))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """good: all engines agree; bad: an edited kernel; none of the others is a project."""
    home = tmp_path_factory.mktemp("home")
    write_project(GRAPH, home / "good", random_codes(S6, (5, 2, 3, 3), 1))
    shutil.copytree(home / "good", home / "bad")
    kernel = home / "bad/hls/kernels/relu.hpp"
    kernel.write_text(kernel.read_text().replace("typename L::out::code result = 0;", "typename L::out::code result = 1;"))
    return home


def test_the_worst_exit_code(home: Path) -> None:
    result = qfx("verify", "good", "bad", "none", cwd=home, code=2)
    assert "sim = onnx = csim: 100 samples" in result.stdout and "sim, onnx, csim: 100 samples" in result.stdout
    assert "first mismatch: layer step0 (relu)" in result.stdout and "error: none is no directory" in result.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in result.stdout.splitlines() if line.startswith("│ ")]
    assert rows == [["good", "agree"], ["> bad", "mismatch"], ["> none", "error"]]
    assert "bad: note: hls/kernels/relu.hpp differs from the manifest" in result.stderr
    assert "none: error: none is no directory" in result.stderr
    qfx("verify", "good", "bad", cwd=home, code=1)
    qfx("verify", "good", "good", cwd=home)
    qfx("verify", "none", "good", "--engines", "sim,onnx", cwd=home, code=2)
    missing = qfx("verify", "none", "good", cwd=home, code=3, environment={"CXX": "no-such-compiler"})
    assert "unavailable" in missing.stdout


def test_quiet_names_what_failed(home: Path) -> None:
    result = qfx("verify", "good", "bad", "none", "--quiet", cwd=home, code=2)
    assert (
        result.stdout == "" and result.stderr.count("bad: first mismatch") == 1 and "error: none is no directory" in result.stderr
    )


def test_junit_report_and_json(home: Path) -> None:
    outputs = ("--junit", "junit.xml", "--report", "report.txt", "--json", "report.json")
    result = qfx("verify", "good", "bad", "none", *outputs, cwd=home, code=2)
    root = ET.fromstring((home / "junit.xml").read_bytes())
    assert root.attrib == {"name": "qfx verify", "tests": "3", "failures": "1", "errors": "1", "time": root.get("time")}
    assert [suite.get("name") for suite in root] == ["good", "bad", "none"]
    text = (home / "report.txt").read_text()
    for line in result.stdout.splitlines():
        assert line.rstrip() in text
    assert "note: hls/kernels/relu.hpp differs from the manifest" in text and "error: none is no directory" in text
    assert "\x1b" not in text
    document = json.loads((home / "report.json").read_text())
    assert document["failed"] == ["bad", "none"] and list(document["projects"]) == ["good", "bad", "none"]
    piped = qfx("verify", "good", "bad", "--json", "-", cwd=home, code=1)
    assert json.loads(piped.stdout)["failed"] == ["bad"] and "mismatch" in piped.stderr
    assert not list(home.glob(".*"))


def test_inputs_for_all_and_a_model_for_one(home: Path) -> None:
    np.save(home / "x.npy", random_codes(S6, (7, 2, 3, 3), 2))
    result = qfx("verify", "good", "bad", "--engines", "sim,onnx", "--inputs", "x.npy", cwd=home)
    assert result.stdout.count("sim = onnx: 7 samples") == 2
    live = ("--model", "m:f", "--weights", "w.pt")
    assert "a live model belongs to one project; 2 were given" in qfx("verify", "good", "bad", *live, cwd=home, code=2).stderr


def test_the_cache(home: Path, tmp_path: Path) -> None:
    cache = {"QFX_CACHE": str(tmp_path / "cache")}
    qfx("verify", "good", "--no-cache", cwd=home, environment=cache)
    assert not (tmp_path / "cache").exists()
    qfx("verify", "good", "bad", cwd=home, code=1, environment=cache)
    kept = sorted((tmp_path / "cache").iterdir())
    assert len(kept) == 2
    qfx("verify", "bad", "good", cwd=home, code=1, environment=cache)
    assert sorted((tmp_path / "cache").iterdir()) == kept
    file = tmp_path / "file"
    file.write_text("x")
    result = qfx("verify", "good", cwd=home, code=2, environment={"QFX_CACHE": str(file)})
    assert f"error: QFX_CACHE names {file}, which is no directory; name another, unset it or give --no-cache" in result.stderr


def test_sanitizers_find_what_changes_no_value(home: Path) -> None:
    """A table is read beyond its end, and what was read is not used."""
    shutil.copytree(home / "good", home / "beyond")
    kernel = home / "beyond/hls/kernels/relu.hpp"
    line = "typename L::out::word y_word = 0;"
    beyond = f"{line}\n            ap_uint<8> few[2];\n            few[0] = 0;\n            ap_uint<8> read = few[L::in::WORDS];"
    text = kernel.read_text()
    assert line in text
    kernel.write_text(text.replace(line, f"{beyond}\n            y_word = read - read;", 1))
    qfx("verify", "beyond", "--engines", "sim,csim", cwd=home)
    result = qfx("verify", "beyond", "--engines", "sim,csim", "--sanitize", cwd=home, code=2)
    assert "index 9 out of bounds" in result.stderr or "stack-buffer-overflow" in result.stderr
    qfx("verify", "good", "--engines", "sim,csim", "--sanitize", cwd=home)
