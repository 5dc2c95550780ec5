"""Plain values as JSON and back: numbers, texts, tuples, formats, functions of torch. Nothing else can be named in a file.

JSON's own values stand for themselves, lists too. Everything else is an object with one entry, whose key says what it is:

    {"tuple": [...]}, {"dict": [[key, value], ...]}, {"slice": [start, stop, step]}, {"float": "inf"}, {"ellipsis": null}
    {"dtype": "float32"}, {"Rounding": "AP_RND"}, {"Overflow": "AP_SAT"}
    {"QuantSpec": {field: value}}, {"FixedType": ...}, {"ops.Clamp": ...}
    {"function": name}, {"applied": [function, args, kwargs]}
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch

from qfx.fixed import FixedType, Overflow, Rounding
from qfx.nn.lookup import Applied
from qfx.ops import OPS
from qfx.quant import QuantSpec
from qfx.saving.callables import FUNCTIONS, name_of

RECORDS: Mapping[str, type[Any]] = {
    "QuantSpec": QuantSpec,
    "FixedType": FixedType,
    **{f"ops.{op.__name__}": op for op in OPS.values()},
}
ENUMS: Mapping[str, type[Any]] = {"Rounding": Rounding, "Overflow": Overflow}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)}


class NotPlain(Exception):
    """A value that cannot be written as data; the text says which."""


def encode(value: Any, other: Callable[[Any], Any] | None = None) -> Any:
    """The JSON of a value.

    Args:
        other: tried first; gives the JSON of a value of another kind, None for one that it does not know.

    Raises:
        NotPlain: there is none.
    """
    known = None if other is None else other(value)
    if known is not None:
        return known
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, tuple):  # torch.Size among them
        return {"tuple": [encode(item, other) for item in cast("tuple[Any, ...]", value)]}
    if isinstance(value, list):  # torch.fx has a class of its own
        return [encode(item, other) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {"dict": [[encode(key, other), encode(item, other)] for key, item in cast("dict[Any, Any]", value).items()]}
    if isinstance(value, slice):
        return {"slice": [encode(bound, other) for bound in (value.start, value.stop, value.step)]}  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportUnknownVariableType]
    return _named(value)


def _named(value: Any) -> Any:
    """A value of a class that has a name in files."""
    if value is Ellipsis:
        return {"ellipsis": None}
    if type(value) is torch.dtype:
        return _dtype(value)
    for name, kind in ENUMS.items():
        if type(value) is kind:
            return {name: value.value}
    for name, kind in RECORDS.items():
        if type(value) is kind:
            return {name: {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}}
    if type(value) is Applied:
        return {"applied": [encode(value.function), encode(value.args), encode(dict(value.kwargs))]}
    name = name_of(value)
    if name is None:
        raise NotPlain(str(getattr(value, "__qualname__", None) or repr(value)))
    return {"function": name}


def _dtype(dtype: torch.dtype) -> dict[str, str]:
    """A dtype of real numbers: integers are no results of a network's calls."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise NotPlain(str(dtype))
    return {"dtype": name}


def decode(document: Any, other: Callable[[str, Any], Any] | None = None) -> Any:
    """The value that `encode` wrote.

    Args:
        other: gives the value of an object with this key and entry where `encode` does not write such objects.

    Raises:
        ValueError, LookupError, TypeError: the document was not written by `encode`.
    """
    if isinstance(document, list):
        return [decode(item, other) for item in cast("list[Any]", document)]
    if not isinstance(document, dict):
        return document
    ((kind, entry),) = cast("dict[str, Any]", document).items()
    if kind == "tuple":
        return tuple(decode(item, other) for item in entry)
    if kind == "dict":
        return {decode(key, other): decode(item, other) for key, item in entry}
    if kind == "slice":
        start, stop, step = (decode(bound, other) for bound in entry)
        return slice(start, stop, step)
    return _of_name(kind, entry, other)


def _of_name(kind: str, entry: Any, other: Callable[[str, Any], Any] | None) -> Any:
    if kind == "ellipsis":
        return Ellipsis
    if kind == "float":
        if entry not in ("inf", "-inf", "nan"):
            raise ValueError(f"{entry!r} is no such number")
        return float(entry)
    if kind == "dtype":
        return DTYPES[entry]
    if kind in ENUMS:
        return ENUMS[kind](entry)
    if kind in RECORDS:
        return RECORDS[kind](**{name: decode(item) for name, item in entry.items()})
    if kind == "function":
        return FUNCTIONS[entry]
    if kind == "applied":
        function, args, kwargs = (decode(part) for part in entry)
        return Applied(function, args, kwargs)
    if other is None:
        raise ValueError(f"{kind!r} is nothing that a file may name")
    return other(kind, entry)
