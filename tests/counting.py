"""How often functions are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def count_calls(monkeypatch: pytest.MonkeyPatch, functions: Iterable[tuple[Any, str]]) -> Counter[str]:
    """Count, by name, the calls of functions that are attributes of (owner, name) from now on."""
    counts: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    for owner, name in functions:
        monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))
    return counts
