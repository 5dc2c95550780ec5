"""How results look in a notebook: HTML tables without scripts, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose numbers are aligned right and shown with separators of thousands."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def text(lines: str) -> str:
    """Lines as they stand."""
    return f"<pre>{escape(lines)}</pre>"


def _cell(item: object) -> str:
    if isinstance(item, int | float):
        return f'<td style="text-align: right">{item:,}</td>'
    return f"<td>{escape(str(item))}</td>"
