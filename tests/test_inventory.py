"""Files of a project against its manifest: what was edited, is missing or was added, with and without `strict`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from qfx.errors import AlteredError, ProjectError
from qfx.ops import ReLU
from qfx.ops.sampling import random_codes
from qfx.project import open_project, verify, write_project
from tests.hls.build import S6, chain, image
from tests.test_cli import qfx

GRAPH = chain("tiny", image(S6, 2, 3, 3), (ReLU(), []))
FAST = ["sim", "onnx"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(GRAPH, tmp_path_factory.mktemp("written") / "net", random_codes(S6, (5, 2, 3, 3), 1)).path


@pytest.fixture
def path(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "net"))


def put(path: Path, *names: str) -> None:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("// added\n")


def test_a_project_as_it_was_written(path: Path) -> None:
    project = open_project(path, strict=True)
    assert (project.changed, project.added) == ((), ()) and "added" not in repr(project)
    assert verify(path, FAST, strict=True).notes == ()


def test_each_difference_is_refused_where_strict_is_wanted(path: Path) -> None:
    (path / "hls/weights.hpp").write_text((path / "hls/weights.hpp").read_text() + "\n")  # the same C++
    put(path, "notes.txt")
    message = (
        "net: 2 files are not as manifest.json says: hls/weights.hpp was edited; notes.txt was added; export the project again,"
    )
    with pytest.raises(AlteredError, match=re.escape(message)):
        open_project(path, strict=True)
    with pytest.raises(AlteredError, match=re.escape(message)):
        verify(open_project(path), FAST, strict=True)
    (path / "hls/monitor.v").unlink()
    with pytest.raises(AlteredError, match=r"net: 3 files are not as .*; hls/monitor.v is missing; notes.txt was added; export"):
        verify(path, FAST, strict=True)
    with pytest.raises(ProjectError, match=r"hls/monitor.v is missing; the project is incomplete") as found:
        verify(path, FAST)
    assert not isinstance(found.value, AlteredError)


def test_an_altered_graph_is_altered_where_strict_is_wanted(path: Path) -> None:
    (path / "graph.json").write_text((path / "graph.json").read_text() + " ")
    with pytest.raises(AlteredError, match=r"net: 1 file is not as manifest.json says: graph.json was edited; export"):
        open_project(path, strict=True)


def test_what_changes_while_a_project_is_open(path: Path) -> None:
    project = open_project(path, strict=True)
    put(path, "hls/ap_fixed.h")
    with pytest.raises(AlteredError, match=r"hls/ap_fixed\.h was added"):
        verify(project, FAST, strict=True)


def test_many_differences_are_counted(path: Path) -> None:
    put(path, *(f"hls/more/{number:03}.h" for number in range(50)))
    with pytest.raises(AlteredError, match=r"50 files are .*hls/more/019\.h was added; and 30 more; export"):
        open_project(path, strict=True)


def test_files_that_can_take_part_in_the_build_are_named(path: Path) -> None:
    build = (
        "hls/ap_fixed.h",
        "hls/hls_stream.h",
        "hls/vector",
        "hls/kernels/extra.hpp",
        "hls/relu.hpp.gch",
        "run.tcl",
        "sub/Makefile",
    )
    put(path, *build, "paths.mk", "a/b.cfg", "a/x.CPP", "notes.txt", "report.json", "golden/more.npy")
    (path / "hls/link.txt").symlink_to("weights.hpp")
    (path / "golden/outside").symlink_to("/etc")
    where = "in the manifest; it can take part in the build"
    assert set(verify(path, FAST).notes) == {
        f"hls/ap_fixed.h is not {where}, in the place of the header <ap_fixed.h>",
        f"hls/hls_stream.h is not {where}, in the place of the header <hls_stream.h>",
        *(f"{name} is not {where}" for name in (*build[2:], "paths.mk", "a/b.cfg", "a/x.CPP")),
        f"hls/link.txt is a link that is not {where}",
        f"golden/outside is a link that is not {where}",
    }
    project = open_project(path)
    assert len(project.added) == 15 and "15 files added" in repr(project)
    assert "<td>notes.txt</td>" in project._repr_html_()  # pyright: ignore[reportPrivateUsage]


def test_a_directory_of_many_files_is_named_as_one(path: Path) -> None:
    put(path, *(f"hls/build/solution/{number}.v" for number in range(7)), *(f"hls/few/{number}" for number in range(2)))
    assert verify(path, FAST).notes == (
        "hls/build/ with 7 files is not in the manifest; they can take part in the build",
        "hls/few/0 is not in the manifest; it can take part in the build",
        "hls/few/1 is not in the manifest; it can take part in the build",
    )


def test_names_that_cannot_be_printed(path: Path) -> None:
    put(path, "hls/a\nb.h")
    assert verify(path, FAST).notes == ("'hls/a\\nb.h' is not in the manifest; it can take part in the build",)


def test_a_directory_that_cannot_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could hide something."""

    def scandir(folder: str) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(PermissionError, match=r"Permission denied: .*net"):
        open_project(path)


def test_the_command_line(path: Path) -> None:
    put(path, "hls/ap_fixed.h")
    options = ("--engines", "sim,onnx", "--strict")
    result = qfx("verify", "net", *options, cwd=path.parent, code=4)
    assert "error: net: 1 file is not as manifest.json says: hls/ap_fixed.h was added; export" in result.stderr
    assert "mismatches" not in result.stdout
    result = qfx("verify", "net", *options[:2], cwd=path.parent)
    assert "note: hls/ap_fixed.h is not in the manifest; it can take part in the build, in the place of" in " ".join(
        result.stderr.split()
    )
    (path / "hls/ap_fixed.h").unlink()
    qfx("verify", "net", *options, cwd=path.parent)
    put(path, "notes.txt")
    shutil.copytree(path, path.parent / "other")
    (path / "notes.txt").unlink()
    result = qfx("verify", "net", "other", "none", *options, cwd=path.parent, code=4)
    assert [line.split()[3] for line in result.stdout.splitlines() if line.startswith(("│ net", "│ other", "│ none"))] == [
        "agree",
        "altered",
        "error",
    ]
