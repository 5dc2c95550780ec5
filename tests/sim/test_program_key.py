"""Compiled programs kept by content: found again only if everything that made them is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qfx.ops import ReLU
from qfx.sim.csim import CSimulator
from qfx.sim.program_key import own_sources, program_key
from qfx.testing.projects import frames, write_project
from tests.hls.build import S6, assert_equal, chain, image

GRAPH = chain("cached", image(S6, 2, 3, 3), (ReLU(), []))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A compiler that adds a line to the returned file whenever it compiles."""
    log, compiler = tmp_path / "log", tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\n[ "$1" = --version ] || echo x >> "{log}"\nexec g++ "$@"\n')
    compiler.chmod(0o755)
    log.touch()
    monkeypatch.setenv("CXX", str(compiler))
    return log


def run(project: Path, cache: Path | None, optimize: str = "-O0") -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    return CSimulator(project, optimize=optimize, cache=cache).run(frames(GRAPH, 3))


def test_the_same_project_is_compiled_once(tmp_path: Path, counted: Path) -> None:
    cache = tmp_path / "cache"
    first, second = (write_project(GRAPH, tmp_path / name) for name in ("first", "second"))
    for compiled, project in ((1, first), (1, first), (1, second)):
        assert_equal(GRAPH, run(project, cache), frames(GRAPH, 3))
        assert len(counted.read_text().split()) == compiled
    run(first, None)
    assert len(counted.read_text().split()) == 2
    run(first, cache, "-O1")
    assert len(counted.read_text().split()) == 3 and len(list(cache.iterdir())) == 2


def test_changed_cpp_is_compiled_again(tmp_path: Path) -> None:
    project, cache = write_project(GRAPH, tmp_path / "project"), tmp_path / "cache"
    right = run(project, cache)["step0"]
    kernel = project / "hls/kernels/relu.hpp"
    kernel.write_text(kernel.read_text().replace("typename L::out::code result = 0;", "typename L::out::code result = 1;"))
    wrong = run(project, cache)["step0"]
    assert np.any(wrong != right) and len(list(cache.iterdir())) == 2


def test_a_spoiled_program_is_made_anew(tmp_path: Path, counted: Path) -> None:
    project, cache = write_project(GRAPH, tmp_path / "project"), tmp_path / "cache"
    run(project, cache)
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert_equal(GRAPH, run(project, cache), frames(GRAPH, 3))
    assert len(counted.read_text().split()) == 2 and len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert_equal(GRAPH, run(write_project(GRAPH, tmp_path / "project"), tmp_path / "file/cache"), frames(GRAPH, 3))


def test_cpp_that_includes_what_lies_elsewhere_is_not_kept(tmp_path: Path) -> None:
    project, cache = write_project(GRAPH, tmp_path / "project"), tmp_path / "cache"
    (tmp_path / "theirs.hpp").write_text("")
    source = project / "hls/cached.cpp"
    source.write_text(f'#include "{tmp_path}/theirs.hpp"\n{source.read_text()}')
    run(project, cache)
    assert not cache.exists()


def test_everything_counts_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    file = tmp_path / "a/b/x.hpp"
    keys: list[str] = []
    for content in (b"1", b"2"):
        file.write_bytes(content)
        keys.append(program_key([tmp_path / "a"], "g++", ["-O0"]))
    keys.append(program_key([tmp_path / "a"], "g++", ["-O1"]))
    keys.append(program_key([tmp_path / "a"], "gcc", ["-O0"]))
    monkeypatch.setenv("LIBRARY_PATH", "/elsewhere")
    keys.append(program_key([tmp_path / "a"], "g++", ["-O0"]))
    file.rename(tmp_path / "a/b/y.hpp")
    keys.append(program_key([tmp_path / "a"], "g++", ["-O0"]))
    keys.append(program_key([tmp_path / "a", tmp_path / "a"], "g++", ["-O0"]))
    assert len(set(keys)) == len(keys)


def test_dependency_files(tmp_path: Path) -> None:
    file = tmp_path / "d"
    file.write_text(f"{tmp_path}/csim: {tmp_path}/a\\ b/x.cpp \\\n {tmp_path}/c/../c/y.hpp\n")
    assert own_sources(file, [tmp_path / "a b", tmp_path / "c"])
    assert not own_sources(file, [tmp_path / "c"])
