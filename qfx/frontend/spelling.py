"""Paths that Python code can spell. torch.fx writes the calls of a trace as code, so a module named by a keyword, `class`, has to
be called something else there; in the model and in the graph it keeps its name.
"""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Collection, Iterator
from typing import Any, cast

from torch import nn


def can_spell(name: str) -> bool:
    """Whether torch.fx can write `name`, one part of a path: as an attribute, or between quotes."""
    if name.isidentifier():
        return not keyword.iskeyword(name) and unicodedata.normalize("NFKC", name) == name  # as Python reads identifiers
    return name != "" and name.isprintable() and not set(name) & {'"', "\\"}


def spellings(model: nn.Module, reserved: Collection[str] = ()) -> dict[str, str]:
    """The path under which code finds each submodule, parameter and buffer; a `_` goes behind a name that cannot be spelt.

    Args:
        model: whose paths they are.
        reserved: names that nothing at the top may have.
    """
    found = {"": ""}
    for path, module in cast("Iterator[tuple[str, nn.Module]]", model.named_modules(remove_duplicate=False)):
        tables: list[dict[str, Any]] = [vars(module)[kind] for kind in ("_modules", "_parameters", "_buffers")]
        names = [name for table in tables for name in table]
        taken = {name for name in names if can_spell(name)} | {*reserved}
        for name in names:
            spelt = name
            if not can_spell(name) or (path == "" and name in reserved):
                spelt = _free("".join(character if character.isalnum() else "_" for character in name), taken)
            found[_joined(path, name)] = _joined(found[path], spelt)
    return found


def _free(name: str, taken: set[str]) -> str:
    name = unicodedata.normalize("NFKC", name)
    while f"{name}_" in taken or not can_spell(f"{name}_"):
        name += "_"
    taken.add(f"{name}_")
    return f"{name}_"


def _joined(owner: str, name: str) -> str:
    return f"{owner}.{name}" if owner else name
