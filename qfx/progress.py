"""How long work reports what is done, without knowing who shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told after every part of a piece of work."""

    def __call__(self, task: str, done: int, total: int) -> None:
        """`done` of `total` parts of `task` are finished."""


def silent(task: str, done: int, total: int) -> None:
    """Shows nothing."""
