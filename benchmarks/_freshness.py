"""Which entries of docs/results.md are older than the code that they measure.

    python benchmarks/_freshness.py                         names them; exit code 1 if there are any
    python benchmarks/_freshness.py --mark                  writes into each of them a line that says so
    python benchmarks/_freshness.py --measured "HEADING"    its command has been run again: this entry is of today's code

docs/results/measured.json says for every entry, by its heading, which files and folders it measures, with a digest of
each. Comments, docstrings and blank lines do not count, so that new wording makes nothing old. tests/architecture/test_results.py
holds page and file together.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE, RECORD = ROOT / "docs" / "results.md", ROOT / "docs" / "results" / "measured.json"
MARK = "**Older than the code that it measures**; changed since: "
SECTION = re.compile(r"^## (?P<heading>.+)\n\n(?P<text>(?:.*\n)*?)(?=## |\Z)", re.M)
SOURCES = {".py", ".j2", ".json", ".toml", ".c", ".cu", ".h", ".hpp", ".cpp", ".v", ".sv"}


@dataclass(frozen=True)
class Entry:
    """What an entry measures: path -> digest of the code there on the day of the measurement."""

    code: Mapping[str, str]

    def changed(self) -> list[str]:
        """The paths whose code is another one now."""
        return [path for path, digest in self.code.items() if code_digest(ROOT / path) != digest]

    def measured_now(self) -> Entry:
        """The entry, made of today's code."""
        return Entry({path: code_digest(ROOT / path) for path in self.code})


def docstring_lines(tree: ast.AST) -> set[int]:
    """Numbers of the lines that a string which nobody uses covers."""
    strings = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )
    return {line for node in strings for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


@functools.cache
def python_code(source: str) -> str:
    """Python without comments, docstrings and blank lines."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    strings = docstring_lines(ast.parse(source))
    kept = (line.rstrip() for number, line in enumerate(lines, start=1) if number not in strings)
    return "\n".join(line for line in kept if line)


def template_code(source: str) -> str:
    """A template, or C, without comments that have lines of their own, and without blank lines."""
    lines = (line.rstrip() for line in re.sub(r"\{#.*?#\}", "", source, flags=re.S).splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("//"))


def code(file: Path) -> str:
    """What of a file counts."""
    source = file.read_text()
    return python_code(source) if file.suffix == ".py" else template_code(source)


def sources(path: Path) -> list[Path]:
    """The file, or the sources in the folder, in an order that does not depend on the machine."""
    if path.is_file():
        return [path]
    found = [file for file in path.rglob("*") if file.suffix in SOURCES and file.is_file()]
    if not found:
        raise FileNotFoundError(f"{path}: no source file there; correct its entry in docs/results/{RECORD.name}")
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def code_digest(path: Path) -> str:
    """Of the code of a file or of a folder, names included; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in sources(path):
        digest.update(f"{file.relative_to(ROOT).as_posix()}\0{code(file)}\0".encode())
    return digest.hexdigest()[:16]


def entries(record: Path = RECORD) -> dict[str, Entry]:
    """All entries by heading."""
    return {heading: Entry(code) for heading, code in json.loads(record.read_text()).items()}


def write(all_entries: Mapping[str, Entry], record: Path = RECORD) -> None:
    """The file behind `entries`."""
    document = {heading: dict(entry.code) for heading, entry in all_entries.items()}
    record.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def sections(page: str) -> Iterator[tuple[str, str]]:
    """Heading and text of every section of the page."""
    return ((found["heading"], found["text"]) for found in SECTION.finditer(page))


def marked(page: str, changed: Mapping[str, Sequence[str]]) -> str:
    """The page with a mark in the entries (by heading) some of whose paths have changed, and in no other."""

    def section(found: re.Match[str]) -> str:
        text = re.sub(rf"\A{re.escape(MARK)}.*\n\n", "", found["text"])
        paths = changed.get(found["heading"], ())
        mark = MARK + ", ".join(f"`{path}`" for path in paths) + ".\n\n" if paths else ""
        return f"## {found['heading']}\n\n{mark}{text}"

    return SECTION.sub(section, page)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 if an entry is older than its code, 2 for a heading that is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mark", action="store_true", help="write into the page which entries are old")
    parser.add_argument(
        "--measured", metavar="HEADING", nargs="+", default=[], help="entries whose commands have just been run again"
    )
    arguments = parser.parse_args(argv)
    known = entries()
    if unknown := [heading for heading in arguments.measured if heading not in known]:
        print(f"no entry {', '.join(map(repr, unknown))} in docs/results/{RECORD.name}; there are: {', '.join(known)}")
        return 2
    known.update({heading: known[heading].measured_now() for heading in arguments.measured})
    if arguments.measured:
        write(known)
    changed = {heading: paths for heading, entry in known.items() if (paths := entry.changed())}
    if arguments.mark or arguments.measured:
        PAGE.write_text(marked(PAGE.read_text(), changed))
    for heading, paths in changed.items():
        print(f"{heading}: {', '.join(paths)} changed since it was measured")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
