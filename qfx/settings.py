"""Settings that people write: each value is checked by itself, and an unknown key is refused with the nearest known ones."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import importlib
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from qfx.errors import ConfigError, FormatError
from qfx.fixed import FixedType
from qfx.quant.spec import MAX_WIDTH

Check = Callable[[Any], Any]
"""Returns the value as it is kept; raises ValueError with what is wanted."""


def width(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_WIDTH:
        raise ValueError(f"a number of bits is wanted, 1..{MAX_WIDTH}")
    return value


def count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a whole number is wanted, 0 or more")
    return value


def digits(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError("a number of signed digits is wanted, 0 for all codes")
    return value or None


def exponent(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError("the largest exponent of a digit is wanted, 0 or more")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is wanted")
    return value


def number(least: float, most: float = math.inf) -> Check:
    """A finite number, both bounds among them."""

    def check(value: Any) -> float:
        if not _finite(value) or not least <= value <= most:
            raise ValueError(
                f"a number is wanted, {least:g} or more" if most == math.inf else f"a number in {least:g}..{most:g} is wanted"
            )
        return float(value)

    return check


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def positive(value: Any) -> float:
    if not _finite(value) or value <= 0:
        raise ValueError("a positive number is wanted")
    return float(value)


def percentile(value: Any) -> float:
    if positive(value) > 100:
        raise ValueError("a percentile is wanted, above 0 and at most 100")
    return float(value)


def numbers(value: Any) -> tuple[float, ...] | None:
    given = list(cast(Sequence[Any], value)) if isinstance(value, list | tuple) else None
    if value is not None and (not given or not all(isinstance(entry, int | float) for entry in given)):
        raise ValueError("a list of numbers is wanted, one per channel")
    return None if given is None else tuple(float(entry) for entry in given)


def choice(kind: type[enum.Enum]) -> Check:
    """A member, or its value."""

    def check(value: Any) -> Any:
        names = [member.value for member in kind]
        if not isinstance(value, kind) and value not in names:
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


def fixed_type(value: Any) -> FixedType | None:
    if value is None or isinstance(value, FixedType):
        return value
    try:
        return FixedType(**value)
    except (TypeError, FormatError) as error:
        raise ValueError(f"a table such as {{ signed = true, width = 8, frac = 5 }} is wanted ({error})") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """What may have been meant, to go behind the name in a message: ` (did you mean weights?)`; empty if nothing is near."""
    names = [*known]
    near = difflib.get_close_matches(name, names) or [entry for entry in names if name in entry][:3]
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("a table of tables is wanted")
    return cast(Mapping[str, Any], value)


def checked(where: str, known: Mapping[str, Check], given: Any) -> dict[str, Any]:
    """`given` with every value as it is kept.

    Raises:
        ConfigError: no table, an unknown key, a wrong value.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} is {given!r}; a table of {', '.join(known)} is wanted")
    result: dict[str, Any] = {}
    for key, value in cast(Mapping[str, Any], given).items():
        if key not in known:
            raise ConfigError(f"{where}: there is no key {key!r}{nearest(key, known)}; the keys are {', '.join(known)}")
        try:
            result[key] = known[key](value)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"{where}: {key} = {value!r}, but {error}") from error
    return result


def keep_checked(settings: Any, where: str, known: Mapping[str, Check]) -> None:
    """Check the fields of a frozen dataclass, and set them to what is kept; for its `__post_init__`.

    Raises:
        ConfigError: a wrong value.
    """
    given = {entry.name: getattr(settings, entry.name) for entry in dataclasses.fields(settings)}
    for key, value in checked(where, known, given).items():
        object.__setattr__(settings, key, value)


def read_toml(file: Path | str, where: str, known: Mapping[str, Check], required: Sequence[str] = ()) -> dict[str, Any]:
    """The entries of a TOML file, as they are kept.

    Raises:
        ConfigError: the file cannot be read, lacks a required key, or holds unknown or wrong entries.
    """
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        found = checked(where, known, toml.loads(Path(file).read_text(encoding="utf-8")))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read as TOML: {error}") from error
    if missing := [key for key in required if key not in found]:
        raise ConfigError(f"{file}: {where} lacks {', '.join(missing)}")
    return found
