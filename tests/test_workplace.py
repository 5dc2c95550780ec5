"""What killed runs leave is cleared by the next one, what they had moved aside is put back, and what lives is left alone."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from qfx import workplace as module
from qfx.errors import InputError, ProjectError, QfxWarning, WriteError
from qfx.files import add_text, check_free, check_writable, new_directory, new_file, restore, scratch, write_text
from qfx.workplace import LOCK, NEW, OLD, clear_left, workplace


def always(path: Path) -> bool:
    return True


def ends(folder: Path, program: str, status: int = -signal.SIGKILL) -> None:
    """Run Python in `folder`, in a process that ends so."""
    start = "import os, signal, sys\nfrom pathlib import Path\nfrom qfx import files\n"
    start += "def kill(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run([sys.executable, "-c", start + program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def directory(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


KILLED = {
    "file": "with files.new_file('a') as stream: stream.write(b'half'); stream.flush(); kill()",
    "directory": "with files.new_directory('a') as work: (work / 'file').write_text('half'); kill()",
    "scratch": "with files.scratch('.') as work: (work / 'file').write_text('half'); kill()",
    "unlocked": "os.open = kill\nfiles.write_text('a', 'x')",
}


@pytest.mark.parametrize("kind", KILLED)
def test_what_a_killed_run_has_left_is_cleared_by_the_next(tmp_path: Path, kind: str) -> None:
    ends(tmp_path, KILLED[kind])
    assert len(left(tmp_path)) == 1 and left(tmp_path)[0].startswith(".qfx-")
    write_text(tmp_path / "other", "x")
    assert left(tmp_path) == ["other"]


BETWEEN = """
rename = Path.rename
def killed(self, target):
    if Path(target).name == 'a':
        kill()
    return rename(self, target)
Path.rename = killed
with files.new_directory('a', lambda path: True) as work:
    (work / 'file').write_text('new')
"""


def between(folder: Path) -> Path:
    """A directory of which a run was killed between the two renames that replace it."""
    target = directory(folder / "a", "old")
    ends(folder, BETWEEN)
    assert not target.exists()
    return target


WAYS: dict[str, Callable[[Path], object]] = {
    "restore": restore,
    "check_free": lambda path: check_free(path, always),
    "the same name": lambda path: new_directory(path, always).__enter__(),
    "another name": lambda path: write_text(path.with_name("b"), "x"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_moved_aside_is_put_back(tmp_path: Path, way: str) -> None:
    target = between(tmp_path)
    message = f"{target}: a run was killed while it replaced it; the former one has been put back"
    with pytest.warns(QfxWarning, match=re.escape(message)):
        WAYS[way](target)
    assert (target / "file").read_text() == "old"
    clear_left(tmp_path)
    assert [name for name in left(tmp_path) if name.startswith(".")] == []


def test_a_name_that_was_taken_meanwhile(tmp_path: Path) -> None:
    """Neither of the three is lost."""
    target = between(tmp_path)
    target.write_text("theirs")
    with pytest.warns(QfxWarning, match=r"a has appeared while it was being replaced; what was there before is in .*/old, the new"):
        clear_left(tmp_path)
    (folder,) = tmp_path.glob(".qfx-*")
    assert (folder / OLD / "file").read_text() == "old" and (folder / NEW / "file").read_text() == "new"
    assert target.read_text() == "theirs"
    target.unlink()
    with pytest.warns(QfxWarning, match="put back"):
        clear_left(tmp_path)
    assert (target / "file").read_text() == "old" and left(tmp_path) == ["a"]


def test_a_run_killed_after_the_renames_leaves_the_new_one(tmp_path: Path) -> None:
    target = directory(tmp_path / "a", "old")
    ends(tmp_path, "import qfx.workplace" + BETWEEN.split("Path.rename = killed")[1] + "    qfx.workplace._settle = kill")
    assert len(left(tmp_path)) == 2
    clear_left(tmp_path)
    assert (target / "file").read_text() == "new" and left(tmp_path) == ["a"]


def test_what_lives_is_left_alone(tmp_path: Path) -> None:
    """In this process and in another one."""
    wait = "with files.new_file('a') as stream: stream.write(b'whole'); print('ready', flush=True); sys.stdin.readline()"
    command = [sys.executable, "-c", f"import sys\nfrom qfx import files\n{wait}"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "ready\n"
        with new_file(tmp_path / "b") as stream:
            clear_left(tmp_path)
            write_text(tmp_path / "c", "x")
            assert len(list(tmp_path.glob(".qfx-*"))) == 2
            stream.write(b"whole")
        other.communicate("\n")
    assert other.returncode == 0
    assert left(tmp_path) == ["a", "b", "c"]
    assert [(tmp_path / name).read_text() for name in "ab"] == ["whole", "whole"]


def test_many_at_the_same_time_into_one_place(tmp_path: Path) -> None:
    """Each comes to its end, and what lies there at the end is whole."""
    program = """
import sys
from qfx import files
mine = sys.argv[1]
for number in range(20):
    with files.new_directory("place", lambda path: True) as work:
        for name in "xyz":
            (work / name).write_text(mine)
    files.write_text("file", mine * 1000)
"""
    command = [sys.executable, "-W", "error", "-c", program]
    runs = [subprocess.Popen([*command, str(number)], cwd=tmp_path, stderr=subprocess.PIPE, text=True) for number in range(3)]
    assert [(run.communicate()[1], run.returncode) for run in runs] == [("", 0)] * 3
    assert left(tmp_path) == ["file", "place"]
    assert {(tmp_path / "place" / name).read_text() for name in "xyz"} in [{str(number)} for number in range(3)]
    assert len(set((tmp_path / "file").read_text())) == 1


def abandoned(folder: Path) -> Path:
    """A workplace that nobody holds, with something in it."""
    ends(folder, KILLED["directory"])
    return next(folder.glob(".qfx-*"))


def test_another_kernels_is_left_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = abandoned(tmp_path)
    monkeypatch.setattr(module, "_kernel", lambda: "0" * 8)
    for age, there in ((0, True), (86_000, True), (87_000, False)):
        os.utime(place / LOCK, (time.time() - age, time.time() - age))
        clear_left(tmp_path)
        assert place.exists() == there


def test_another_users_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = abandoned(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: place.lstat().st_uid + 1)
    clear_left(tmp_path)
    assert place.exists()


def test_what_only_has_such_a_name_is_left_alone(tmp_path: Path) -> None:
    place = abandoned(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (home / place.name).symlink_to(place)
    (home / f"{place.name}0").mkdir()
    (home / f"{place.name[:-1]}x").mkdir()
    (home / f".qfx-{'0' * 8}-{'0' * 16}").write_text("x")
    before = left(home)
    clear_left(home)
    assert left(home) == before and (place / NEW / "file").exists()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be told there of what is left, so it stays; all else works."""
    place = abandoned(tmp_path)

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    write_text(tmp_path / "b", "x")
    for _ in range(2):
        with new_directory(tmp_path / "c", always):
            pass
    assert left(tmp_path) == [place.name, "b", "c"]


def test_a_workplace_that_is_cleared_before_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, locked, times = os.open, fcntl.flock, iter(range(10))

    def open_later(path: Any, *more: Any, **named: Any) -> int:
        if Path(path).name == LOCK and next(times) == 0:
            clear_left(tmp_path)
            assert left(tmp_path) == []
        return opened(path, *more, **named)

    def lock_later(descriptor: int, how: int) -> None:
        if how & fcntl.LOCK_NB and next(times) == 3:
            monkeypatch.setattr(fcntl, "flock", locked)
            clear_left(tmp_path)
            assert left(tmp_path) == []
        locked(descriptor, how)

    monkeypatch.setattr(os, "open", open_later)
    monkeypatch.setattr(fcntl, "flock", lock_later)
    write_text(tmp_path / "a", "x")
    assert left(tmp_path) == ["a"] and next(times) > 3


def test_a_workplace_that_somebody_is_clearing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked, refusals = fcntl.flock, iter([True, True, False])

    def held(descriptor: int, how: int) -> None:
        if next(refusals):
            raise BlockingIOError
        locked(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", held)
    with workplace(tmp_path / "a") as folder:
        assert (folder / LOCK).read_text() == "a"
    monkeypatch.undo()
    clear_left(tmp_path)
    assert left(tmp_path) == []


def test_a_folder_that_somebody_else_has_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as `flock folder qfx export ...`: not waited for until the end of days."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with new_directory(tmp_path / "a"):
        pass
    os.close(descriptor)
    assert left(tmp_path) == ["a"]


def test_what_replaces_something_is_on_the_disk_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut right after must not lose both."""
    file, target = tmp_path / "file", directory(tmp_path / "a", "old")
    write_text(file, "old")
    seen: list[str] = []

    def flushed(descriptor: int) -> None:
        seen.append(file.read_text() + (target / "file").read_text())

    monkeypatch.setattr(os, "fsync", flushed)
    write_text(tmp_path / "other", "new")
    assert seen == []
    write_text(file, "new")
    with new_directory(target, always) as work:
        (work / "file").write_text("new")
        (work / "more").touch()
    assert seen == ["oldold", "newold", "newold"] and (target / "file").read_text() == "new"


@pytest.mark.parametrize("length", [250, 255])
def test_long_names(tmp_path: Path, length: int) -> None:
    write_text(tmp_path / ("f" * length), "x")
    for _ in range(2):
        with new_directory(tmp_path / ("d" * length), always):
            pass
    assert [len(name) for name in left(tmp_path)] == [length, length]


def test_a_link_is_followed_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    file = tmp_path / "to" / "file"
    file.write_text("old")
    file.chmod(0o600)
    (tmp_path / "link").symlink_to("to/file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and left(tmp_path / "to") == ["file"]


def test_devices_and_pipes_are_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        check_writable(pipe)
        write_text(pipe, "whole")
        assert reader.communicate()[0] == "whole"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    check_writable("/dev/null")
    with pytest.raises(WriteError, match="/dev/full cannot be written: No space left on device; choose another file"):
        write_text("/dev/full", "x")
    command = [
        "bash",
        "-c",
        f"{sys.executable} -c \"from qfx.files import write_text; write_text('$0', 'x')\" > /dev/null",
        "/dev/fd/9",
    ]
    read, write = os.pipe()
    subprocess.run([*command[:2], f"{command[2]} 9>&{write}", *command[3:]], pass_fds=[write], check=True)
    os.close(write)
    with os.fdopen(read) as stream:
        assert stream.read() == "x"


def test_names_that_cannot_be_files(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=re.escape(f"{tmp_path} is a directory; give the name of a file")):
        check_writable(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(WriteError, match=r"loop is a link that leads to itself; give the name of a file"):
        check_writable(tmp_path / "loop")
    with pytest.raises(WriteError, match=r"x/y cannot be written: No such file or directory; make the folder .*x first"):
        check_writable(tmp_path / "x" / "y")
    long = tmp_path / ("x" * 256)
    for check in (check_writable, check_free):
        with pytest.raises(WriteError, match=r"x cannot be written: File name too long; give it a shorter name$"):
            check(long)
    for name in ("a\0b", "a\ud800"):
        with pytest.raises(InputError, match=f"^{re.escape(repr(name))} cannot be the name of a file; give another"):
            write_text(name, "x")
    for nothing in (None, b"a", 3):
        with pytest.raises(InputError, match=f"a path is text or a pathlib.Path, not {nothing!r}"):
            check_free(cast("str", nothing))


def test_errors_never_name_a_workplace(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=rf"^{tmp_path}/a/file is odd: {tmp_path}/a$"), new_directory(tmp_path / "a") as work:
        raise ProjectError(f"{work / 'file'} is odd: {work}")
    message = f"^{tmp_path}/a cannot be written: No such file or directory; run it again, nothing half-written was left .3 bytes"
    with pytest.raises(WriteError, match=message), new_directory(tmp_path / "a") as work:
        (work / "file").write_text("abc")
        (work / "none" / "file").write_text("x")
    with pytest.raises(FileNotFoundError, match="elsewhere"), new_directory(tmp_path / "a"):
        (tmp_path / "elsewhere").read_text()
    with (
        pytest.raises(WriteError, match=r"^temporary files in .* cannot be written: No space left on device; free some space"),
        scratch(tmp_path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert left(tmp_path) == []


def test_lines_are_added_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    add_text(file, "one\n")
    add_text(file, "two\n")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    ends(
        tmp_path,
        limited + "try: files.add_text('file', 'x' * 2000)\nexcept files.WriteError as error: print(error); sys.exit(7)",
        7,
    )
    assert file.read_text() == "one\ntwo\n"
    with pytest.raises(WriteError, match="none/file cannot be written: No such file or directory; it is as it was"):
        add_text(tmp_path / "none" / "file", "x")
