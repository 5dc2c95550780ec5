"""Arguments of the front door: each is checked by its type before anything is done with it."""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

from qfx.errors import InputError

T = TypeVar("T")

_SHOWN = 60
"""Characters of a value that a message repeats."""


def shown(value: Any) -> str:
    """What a message calls a value: itself if it is a short plain one, else its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        text = repr(value)
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    if callable(value) and (name := getattr(value, "__name__", "")):
        return f"the function {name}"
    kind = type(value).__name__.lstrip("_") or "value"
    vowels = "AEFHILMNORSX" if kind.isupper() else "aeioAEIO"  # as they are spoken
    return f"{'an' if kind[0] in vowels else 'a'} {kind}"


def instance(what: str, value: object, kind: type[T] | tuple[type[T], ...], wanted: str) -> T:
    """`value`, if it is an object of the class, or of one of them.

    Raises:
        InputError: it is something else; says what is wanted.
    """
    if not isinstance(value, kind):
        raise InputError(f"{what} is {shown(value)}; {wanted}")
    return value


def path(what: str, value: Any, wanted: str = "a path is wanted, as text or as a pathlib.Path") -> Path:
    """A path, given as text or as what `os.fspath` makes text of.

    Raises:
        InputError: something else, an empty text, or one that no system takes as a path.
    """
    text: object = os.fspath(cast("os.PathLike[Any]", value)) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise InputError(f"{what} is {shown(value)}; {wanted}")
    if not text or "\0" in text:
        raise InputError(f"{what} is {text!r}, which names no file and no folder")
    return Path(text)


def names(what: str, value: Any, known: Iterable[str] | None = None) -> tuple[str, ...]:
    """A collection of names.

    Args:
        known: those that there are; None if it is not known here.

    Raises:
        InputError: something else, one text among them, or a name that is not known.
    """
    given = tuple(cast("Collection[Any]", value)) if isinstance(value, Collection) and not isinstance(value, str | bytes) else None
    several = "a list of names is wanted" if known is None else f"a list of {', '.join(known)} is wanted"
    if given is None:
        raise InputError(f"{what} is {shown(value)}; {several}")
    for name in given:
        if not isinstance(name, str) or (known is not None and name not in known):
            raise InputError(f"{what} holds {shown(name)}; {several}")
    return given


def check_memory(what: str, size: int) -> None:
    """Whether this machine, and the limit that this process runs under, have so much memory at all.

    Args:
        what: takes it.
        size: in bytes.

    Raises:
        InputError: they do not; says what there is.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if hasattr(os, "sysconf") else []
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        limits += [] if soft == resource.RLIM_INFINITY else [soft]
    if limits and size > min(limits):
        raise InputError(
            f"{what} would take {size / 1e9:,.1f} GB of memory, and there are {min(limits) / 1e9:,.1f} GB; ask for less"
        )


def lies(look: Callable[[], bool]) -> bool:
    """What a look at the disk says; a name that the system cannot have is nowhere."""
    try:
        return look()
    except OSError:
        return False


def whole(what: str, value: object, least: int) -> int:
    """A whole number, one of NumPy's among them.

    Raises:
        InputError: something else, or below `least`.
    """
    try:
        number = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise InputError(f"{what} is {shown(value)}; a whole number is wanted, {least} or more")
    return number


def function(what: str, value: Any, example: str) -> Callable[..., Any]:
    """Something to call.

    Raises:
        InputError: something else; says how it is called.
    """
    if not callable(value) or isinstance(value, type):
        raise InputError(f"{what} is {shown(value)}; a function is wanted that is called as {example}")
    return value
