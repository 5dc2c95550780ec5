"""docs/results.md says of every entry what was run and when, and whether the code that it measures has changed since."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import _freshness
from benchmarks._freshness import MARK, PAGE, Entry, code_digest, entries, main, marked, python_code, sections, template_code

DATED = re.compile(rf"\A(?:{re.escape(MARK)}.*\n\n)?\d{{4}}-\d\d-\d\d, `[^`]+`")


def test_every_entry_says_when_it_was_measured_by_which_command_and_what_of() -> None:
    found = dict(sections(PAGE.read_text()))
    assert list(found) == list(entries())
    assert [heading for heading, text in found.items() if not DATED.match(text)] == []


def test_an_entry_that_is_older_than_its_code_says_so() -> None:
    changed = {heading: paths for heading, entry in entries().items() if (paths := entry.changed())}
    said = {heading: re.findall(r"`([^`]+)`", text.split("\n")[0]) for heading, text in sections(PAGE.read_text()) if MARK in text}
    assert said == changed, "run the entry's command again and `python benchmarks/_freshness.py --measured HEADING`, or `--mark` it"


def test_wording_makes_nothing_old() -> None:
    before = 'def f(x):\n    """Twice."""\n    return x * 2  # "#" is no comment: "#"\n'
    after = 'def f(x):\n    """\n    Two times x.\n    """\n\n    # doubled\n    return x * 2\n'
    assert python_code(before) == python_code(after) == "def f(x):\n    return x * 2"
    assert python_code(after.replace("* 2", "* 3")) != python_code(before)
    assert python_code("x = '# no comment'\n") == "x = '# no comment'"
    assert template_code("{# what\nit is #}\n// why\n\n  int x; // y\n") == "  int x; // y"


def test_a_digest_is_of_names_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_freshness, "ROOT", tmp_path)
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "a.py").write_text("x = 1\n")
    (folder / "notes.txt").write_text("of no account")
    before = code_digest(folder)
    (folder / "a.py").write_text("x = 1  # one\n")
    assert code_digest(folder) == before
    (folder / "a.py").rename(folder / "b.py")
    assert code_digest(folder) != before
    assert Entry({"code": before, "code/b.py": code_digest(folder / "b.py")}).changed() == ["code"]
    (folder / "b.py").unlink()
    with pytest.raises(FileNotFoundError, match="no source file there"):
        code_digest(folder)


def test_marks_come_and_go() -> None:
    page = "# Results\n\n## One\n\ntext\n\n## Two\n\nmore\n"
    old = marked(page, {"Two": ["qfx/nn", "sim"]})
    assert old == page.replace("more", f"{MARK}`qfx/nn`, `sim`.\n\nmore")
    assert marked(old, {"One": ["sim"]}) == page.replace("text", f"{MARK}`sim`.\n\ntext")
    assert marked(old, {}) == page


def test_after_a_measurement_an_entry_is_of_todays_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_freshness, "PAGE", tmp_path / "results.md")
    monkeypatch.setattr(_freshness, "RECORD", _freshness.ROOT / "docs" / "results" / "measured.json")
    (tmp_path / "results.md").write_text("## One\n\ntext\n")
    known = {"One": Entry({"sim": "another"})}
    written: list[dict[str, Entry]] = []
    monkeypatch.setattr(_freshness, "entries", lambda: dict(known))
    monkeypatch.setattr(_freshness, "write", written.append)
    assert main(["--mark"]) == 1 and "One: sim changed since it was measured" in capsys.readouterr().out
    assert (tmp_path / "results.md").read_text() == f"## One\n\n{MARK}`sim`.\n\ntext\n" and written == []
    assert main(["--measured", "One"]) == 0
    assert (tmp_path / "results.md").read_text() == "## One\n\ntext\n"
    assert [entry.changed() for entry in written[0].values()] == [[]]
    assert main(["--measured", "Three"]) == 2 and "no entry 'Three'" in capsys.readouterr().out
