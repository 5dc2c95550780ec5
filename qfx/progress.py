"""How long work reports what is done, without knowing who shows it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Protocol


class Progress(Protocol):
    """Told when a piece of work begins, and after every part of it."""

    def __call__(self, task: str, done: int, total: int) -> None:
        """`done` of `total` parts of `task` are finished: 0 when it begins."""


def silent(task: str, done: int, total: int) -> None:
    """Shows nothing."""


@contextlib.contextmanager
def step(progress: Progress, task: str) -> Generator[None]:
    """Tells that a task of one part begins, and that it is done when the block ends without an error."""
    progress(task, 0, 1)
    yield
    progress(task, 1, 1)
