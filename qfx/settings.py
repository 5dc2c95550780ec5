"""Settings that people write: each value is checked by itself, and an unknown key is refused with the nearest known ones."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from qfx import checks
from qfx.checks import Check
from qfx.errors import ConfigError, FormatError
from qfx.fixed import FixedType
from qfx.quant.spec import MAX_WIDTH


def width(value: Any) -> int:
    return _whole(value, 1, f"a number of bits is wanted, 1..{MAX_WIDTH}", MAX_WIDTH)


def _whole(value: Any, least: int, wanted: str, most: int | None = None) -> int:
    try:
        return checks.whole(least, most)(value)
    except ValueError as error:
        raise ValueError(wanted) from error


def digits(value: Any) -> int | None:
    return None if value is None else _whole(value, 0, "a number of signed digits is wanted, 0 for all codes") or None


def exponent(value: Any) -> int | None:
    return None if value is None else _whole(value, 0, "the largest exponent of a digit is wanted, 0 or more")


def percentile(value: Any) -> float:
    if checks.positive(value) > 100:
        raise ValueError("a percentile is wanted, above 0 and at most 100")
    return float(value)


def numbers(value: Any) -> tuple[float, ...] | None:
    given = list(cast(Sequence[Any], value)) if isinstance(value, list | tuple) else None
    if value is not None and not given:
        raise ValueError("a list of numbers is wanted, one per channel")
    return None if given is None else tuple(map(checks.number(), given))


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
        result[key] = checks.argument(where, key, value, known[key], ConfigError)
    return result


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
