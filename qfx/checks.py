"""Checks of arguments, by type and range: each returns the value as it is kept, or raises a ValueError with what is wanted.

NumPy's numbers and truth values are taken for Python's, and kept as Python's. A truth value is no number.
"""

from __future__ import annotations

import enum
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qfx.errors import InputError, QfxError

Check = Callable[[Any], Any]
"""Returns the value as it is kept; raises ValueError with what is wanted."""


def whole(least: int | None = None, most: int | None = None) -> Check:
    """A whole number, both bounds among them."""
    limits = "" if least is None else f", {least} or more" if most is None else f", {least}..{most}"

    def check(value: Any) -> int:
        number = value if type(value) is int else _integer(value)
        if number is None or (least is not None and number < least) or (most is not None and number > most):
            raise ValueError(f"a whole number is wanted{limits}")
        return number

    return check


def _integer(value: Any) -> int | None:
    return None if isinstance(value, bool) or not isinstance(value, numbers.Integral) else int(value)


def flag(value: Any) -> bool:
    """A truth value."""
    if type(value) not in (bool, np.bool_):
        raise ValueError("true or false is wanted")
    return bool(value)


def number(least: float = -math.inf, most: float = math.inf) -> Check:
    """A finite number, both bounds among them."""
    bounded = f"a number is wanted, {least:g} or more" if most == math.inf else f"a number in {least:g}..{most:g} is wanted"

    def check(value: Any) -> float:
        if not _finite(value) or not least <= value <= most:
            raise ValueError("a finite number is wanted" if least == -math.inf else bounded)
        return float(value)

    return check


def positive(value: Any) -> float:
    """A finite number above 0."""
    if not _finite(value) or value <= 0:
        raise ValueError("a positive number is wanted")
    return float(value)


def _finite(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value)


def choice(kind: type[enum.Enum]) -> Check:
    """A member, or its value."""

    def check(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        names = [member.value for member in kind]
        if value not in names:
            raise ValueError(f"one of {', '.join(names)} is wanted")
        return kind(value)

    return check


def or_none(check: Check) -> Check:
    """What `check` takes, or None."""
    return lambda value: None if value is None else check(value)


def instance(kind: type) -> Check:
    """An object of the class."""

    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError(f"a {kind.__name__} is wanted")
        return value

    return check


text = instance(str)


def argument(where: str, name: str, value: Any, check: Check, error: type[QfxError] = InputError) -> Any:
    """`value` as it is kept.

    Args:
        where: what it is an argument of.
        name: its name.

    Raises:
        QfxError: an `error`, unless the check passes.
    """
    try:
        return check(value)
    except QfxError:
        raise
    except ValueError as wrong:
        raise error(f"{where}: {name} = {value!r}, but {wrong}") from wrong


def keep(owner: Any, where: str, known: Mapping[str, Check], error: type[QfxError] = InputError) -> None:
    """Check the fields of a frozen dataclass, and set them to what is kept; for its `__post_init__`.

    Raises:
        QfxError: an `error`, for the first wrong value.
    """
    for name, check in known.items():
        given = getattr(owner, name)
        kept = argument(where, name, given, check, error)
        if kept is not given:
            object.__setattr__(owner, name, kept)
