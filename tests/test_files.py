"""Files and directories appear complete or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qfx.errors import ProjectError
from qfx.files import joint_hash, new_directory, new_file, write_text


def always(path: Path) -> bool:
    return True


def never(path: Path) -> bool:
    return False


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with new_directory(target) as work:
        (work / "file").write_text("x")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["file"]
    assert [path.name for path in target.parent.iterdir()] == ["b"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), new_directory(tmp_path / "a" / "b") as work:
        (work / "file").write_text("x")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_existing_directory_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ProjectError, match=re.escape(f"{tmp_path} exists already; choose another directory")),
        new_directory(tmp_path),
    ):
        pass


def test_only_what_is_recognised_is_replaced(tmp_path: Path) -> None:
    message = re.escape(f"{tmp_path} was not written by QFX, so it is not overwritten")
    with pytest.raises(ProjectError, match=message), new_directory(tmp_path, never):
        pass
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(ProjectError, match="was not written by QFX"), new_directory(link, always):
        pass


def test_replacing(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.mkdir()
    (target / "old").write_text("x")
    with pytest.raises(ValueError, match="stop"), new_directory(target, always) as work:
        (work / "new").write_text("y")
        raise ValueError("stop")
    assert [path.name for path in target.iterdir()] == ["old"]
    with new_directory(target, always) as work:
        (work / "new").write_text("y")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with pytest.raises(ProjectError, match="exists already"), new_directory(target):
        target.mkdir()
        (target / "theirs").write_text("x")
    assert [path.name for path in target.iterdir()] == ["theirs"]


def test_what_stands_in_place_of_a_parent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"Not a directory|File exists"), new_directory(tmp_path / "file" / "b"):
        pass


def test_a_file_appears_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with new_file(file) as stream:
        stream.write(b"new")
        assert not file.exists()
    assert file.read_bytes() == b"new"
    with pytest.raises(KeyboardInterrupt), new_file(file) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert file.read_bytes() == b"new" and list(tmp_path.iterdir()) == [file]
    write_text(file, "ä")
    assert file.read_bytes() == b"\xc3\xa4" and list(tmp_path.iterdir()) == [file]


def test_hashes_of_parts() -> None:
    hashes = [joint_hash(), joint_hash(b""), joint_hash(b"ab"), joint_hash(b"a", b"b"), joint_hash(b"b", b"a")]
    assert len(set(hashes)) == len(hashes) and joint_hash(b"a", b"b") == hashes[3]
