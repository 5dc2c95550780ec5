"""What a benchmark promises: a target has a name, a value, and the target that the value is to reach, in a sense, `>=` or `<=`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Target = Mapping[str, Any]


def reached(target: Target) -> bool:
    """Whether the value is what was promised."""
    value, wanted = target["value"], target["target"]
    return bool(value >= wanted if target["sense"] == ">=" else value <= wanted)


def missed(targets: Sequence[Target]) -> list[str]:
    """Names of the targets that were not reached."""
    return [target["name"] for target in targets if not reached(target)]


def judged(target: Target) -> str:
    """In a word."""
    return "reached" if reached(target) else "missed"


def summary(target: Target, form: str = "") -> str:
    """`reached: name: value (target >= wanted)`; `form` is the format specification of the value."""
    return f"{judged(target)}: {target['name']}: {target['value']:{form}} (target {target['sense']} {target['target']})"
