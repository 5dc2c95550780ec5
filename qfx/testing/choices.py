"""Where random networks take their decisions from: a seed, or hypothesis (`qfx.testing.strategies`), which then shrinks them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

from qfx.annotations import explained_init
from qfx.errors import InputError

T = TypeVar("T")


class Choices(Protocol):
    """A source of decisions; the first alternatives are the simple ones."""

    def integer(self, low: int, high: int) -> int:
        """One of low..high."""
        ...

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        ...

    def chance(self, percent: int) -> bool:
        """True in so many of 100 cases."""
        ...


@explained_init
class Seeded:
    """Decisions from a seed: the same network on every machine."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def pick(self, items: Sequence[T]) -> T:
        return items[self._random.randrange(len(items))]

    def chance(self, percent: int) -> bool:
        return self._random.randrange(100) < percent


def counted(steps: int) -> int:
    """The number of steps of a network.

    Raises:
        InputError: fewer than one.
    """
    if steps < 1:
        raise InputError(f"a network of {steps} steps computes nothing; ask for 1 or more")
    return steps
