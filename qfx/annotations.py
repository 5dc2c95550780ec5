"""Calls that fail because of their arguments: the error names the argument, what it is, and what the signature wants.

A call is not slowed down and nothing that works is refused: the arguments are compared with the annotations when it has failed.
What fails with arguments that fit is a fault of another kind, and its error stays as it is.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import os
import reprlib
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from qfx.errors import InputError, QfxError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=type)

_SEEN = 1000
"""Elements of an argument that are looked at."""


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose failed calls are an InputError where an argument is not what its annotation says."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (QfxError, OSError):
            raise
        except Exception as error:  # whatever a wrong argument leads to
            if (found := misfit(function, args, kwargs)) is not None:
                raise InputError(found) from error
            raise

    return call


def explained_init(kind: T) -> T:
    """A class whose constructor takes nothing but settings: whatever it raises is the fault of its arguments, and says so."""
    made: Any = kind
    function: Any = made.__init__

    @functools.wraps(function)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            function(self, *args, **kwargs)
        except (QfxError, OSError):
            raise
        except Exception as error:  # torch raises TypeError, ValueError, RuntimeError and others
            found = misfit(function, (self, *args), kwargs) or " ".join(str(error).split())
            raise InputError(f"{made.__name__}: {found}") from error

    made.__init__ = init
    return kind


def misfit(function: Callable[..., Any], args: Any, kwargs: Any) -> str | None:
    """Which argument is not of its type, in words; None if all are, or if Python itself refuses the call."""
    try:
        given = inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError:
        return None
    for name, parameter in inspect.signature(function).parameters.items():
        plain = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if plain and name in given and not _fits(given[name], _resolved(parameter.annotation, function)):
            return f"{name} is {_shown(given[name])}; wanted is {parameter.annotation}"
    return None


def _shown(value: Any) -> str:
    kind = type(value).__name__
    try:
        text = reprlib.repr(value)
    except Exception:  # an object of somebody else, which may fail to print itself
        return f"a {kind}"
    return text if value is None else f"{text} ({kind})"


def _resolved(annotation: Any, function: Callable[..., Any]) -> Any:
    """The type that an annotation means; Any where its names are known to the type checker alone."""
    if not isinstance(annotation, str):
        return Any if annotation is inspect.Parameter.empty else annotation
    known = {name: sys.modules[name] for name in ("torch", "collections") if name in sys.modules}
    try:
        return eval(annotation, known | getattr(inspect.unwrap(function), "__globals__", {}))
    except (NameError, AttributeError):
        return Any


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; what cannot be told at run time is."""
    origin: Any = typing.get_origin(kind)
    inner = typing.get_args(kind)
    if kind is Any:
        return True
    if kind in (None, type(None)):
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if origin is np.ndarray:
        return isinstance(value, np.ndarray) and _fits_dtype(cast("np.ndarray[Any, Any]", value), inner[-1])
    if origin is not None:
        return not isinstance(origin, type) or _fits_container(value, origin, inner)
    if not isinstance(kind, type):
        return True
    return _fits_class(value, kind)


def _fits_class(value: Any, kind: type[Any]) -> bool:
    if kind in (int, float, bool):
        return isinstance(value, _NUMBERS[kind]) and (kind is bool or not isinstance(value, bool))
    if "__fspath__" in dir(kind):  # os.PathLike itself is a protocol
        return isinstance(value, str | os.PathLike)
    if getattr(kind, "_is_protocol", False):
        asked = [name for name in dir(kind) if not name.startswith("_") or (name in _BEHAVIOUR and name in kind.__dict__)]
        return getattr(value, "ndim", 1) != 0 and all(hasattr(value, name) for name in asked)
    dense = str(getattr(value, "layout", _DENSE)) == _DENSE
    return isinstance(value, kind) and dense


_DENSE = "torch.strided"
"""The layout of a tensor, as torch, which is not imported here, prints it."""

_BEHAVIOUR = ("__call__", "__getitem__", "__iter__", "__len__")
"""What a protocol may ask for beside names without an underscore."""

_NUMBERS: dict[Any, Any] = {int: int | np.integer, float: int | float | np.number, bool: bool | np.bool_}


def _fits_dtype(value: np.ndarray[Any, Any], wanted: Any) -> bool:
    scalar: Any = (typing.get_args(wanted) or (Any,))[0]
    whole = isinstance(scalar, type) and issubclass(scalar, np.integer)
    return value.dtype.kind in "iu" if whole else value.dtype.kind in "iufb"


def _fits_container(value: Any, origin: Any, inner: tuple[Any, ...]) -> bool:
    if origin is collections.abc.Callable:
        return callable(value)
    if origin is type:
        return isinstance(value, type)
    if isinstance(value, str | bytes) or getattr(value, "ndim", 1) == 0:
        return False
    if issubclass(origin, collections.abc.Mapping) and isinstance(value, collections.abc.Mapping):
        held = list(cast("dict[Any, Any]", value).items())[:_SEEN]
        return all(_fits(one, inner[0]) and _fits(other, inner[1]) for one, other in held)
    sequence = isinstance(value, tuple | list)
    if origin in (tuple, list) or isinstance(value, collections.abc.Mapping):
        fits = sequence or (origin not in (tuple, list) and isinstance(value, origin))
    else:
        fits = isinstance(value, origin) or (issubclass(collections.abc.Sequence, origin) and hasattr(value, "__getitem__"))
    items = _items(value)
    if not fits or items is None:
        return fits
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        return len(items) == len(inner) and all(map(_fits, items, inner))
    return all(_fits(item, inner[0]) for item in items[:_SEEN]) if inner else True


def _items(value: Any) -> list[Any] | None:
    """What a container holds; of an empty array itself. None for what a look may use up."""
    if isinstance(value, tuple | list | dict | set | frozenset):
        return list(cast("list[Any]", value))
    return (list(value) or [value]) if hasattr(value, "ndim") else None
