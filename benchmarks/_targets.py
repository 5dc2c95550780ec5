"""What a benchmark promises: a target has a name, a value, and the target that the value is to reach, in a sense, `>=` or `<=`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
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


def finish(file: Path | None, rows: Sequence[Mapping[str, object]], targets: Sequence[Target], **more: object) -> int:
    """Write rows, targets and what else there is as JSON where a file is named; the exit code, 1 for a missed target."""
    if file is not None:
        file.write_text(json.dumps({"rows": rows, "targets": targets, **more}, indent=2) + "\n")
    return 1 if missed(targets) else 0
