"""One thing that torch computes, under all of its names: a row of the table of calls."""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Handler = Callable[..., Any]
"""Has the signature of the torch function it stands for, after the scope: Values and scalar constants -> a Value, the parts of one,
or a head. Anything it cannot do exactly is a LoweringError whose text completes "<call> at <line>: ..."."""

Modules = Mapping[type[nn.Module], Mapping[str, object] | None]

OTHERWISE = "use layers of qfx.nn, or the functions that docs/layers.md lists"
"""What a message says of a call that no row knows."""


class Storage(enum.Enum):
    """What the result has in common with the operand."""

    NEW = "nothing"
    VIEW = "storage"
    """It may be a part of the operand, or its values in another order."""
    SAME = "storage and values"
    """It may be the operand, perhaps under another shape."""


@dataclass(frozen=True)
class Call:
    """A row.

    Attributes:
        names: of functions of torch and torch.nn.functional and of methods of tensors, the canonical one first; each with the
            in-place form that has a `_` behind it. Not all have to exist.
        operators: names in `operator`, each with the in-place form that has an `i` before it.
        modules: of torch.nn, which compute the same: per argument of the function the name of the module's attribute, or a
            constant that is no string. None for a module that is no call of the function, such as one with parameters.
        lower: what it lowers to; None for what has no exact form.
        handled: whether a handler of qfx.conversion, registered under the canonical name, makes a layer of it, or puts casts before
            it; else what lowers is kept as it is.
        layer: of qfx.nn, the counterpart with formats.
        instead: what to use where it does not lower; made of `layer` where that says it all.
        storage: what the result shares with the first operand.
        product: whether it multiplies its input with weights, and so wants few bits.
        without: functions of one of the names that compute something else.
        others: functions beside those of the names.
        example: a use of it on `x` (batch, 4, 8, 8), for docs/layers.md, which runs it; else tests/frontend/layer_table.py has one.
    """

    names: tuple[str, ...]
    operators: tuple[str, ...] = ()
    modules: Modules = field(default_factory=dict[type[nn.Module], Mapping[str, object] | None])
    lower: Handler | None = None
    handled: bool = False
    layer: str = ""
    instead: str = ""
    storage: Storage = Storage.NEW
    product: bool = False
    without: tuple[object, ...] = ()
    others: tuple[object, ...] = ()
    example: str = ""

    @property
    def name(self) -> str:
        """The canonical name."""
        return self.names[0]

    @property
    def takes_module(self) -> bool:
        """Whether the handler takes the module itself, since it owns what the function is given; then no function converts."""
        return any(arguments is None for arguments in self.modules.values())

    @property
    def advice(self) -> str:
        """What to use instead."""
        return self.instead or (f"use qfx.nn.{self.layer}" if self.layer else OTHERWISE)

    def functions(self) -> Iterator[tuple[object, object]]:
        """Every function object, with the one that computes the same as a new tensor."""
        spaces: tuple[Any, ...] = (torch, functional)
        for space in spaces:
            for name in self.names:
                yield from self._forms(space, name, f"{name}_")
        for name in self.operators:
            yield from self._forms(operator, name, f"i{name}")
        yield from ((function, function) for function in self.others)

    def _forms(self, space: Any, name: str, in_place: str) -> Iterator[tuple[object, object]]:
        plain = getattr(space, name, None)
        for function in (plain, getattr(space, in_place, None)):
            if callable(function) and function not in self.without:
                yield function, plain

    def methods(self) -> Iterator[str]:
        """Every name of a tensor's method."""
        for name in self.names:
            yield from (form for form in (name, f"{name}_") if callable(getattr(torch.Tensor, form, None)))

    def aliases(self) -> set[object]:
        """Everything under which a trace may have it: function objects, names of methods, classes of modules."""
        return {*(function for function, _ in self.functions()), *self.methods(), *self.modules}

    def arguments(self, module: nn.Module) -> dict[str, Any]:
        """What a module gives to the function, after the tensor, by name."""
        kind = next(kind for kind in type(module).__mro__ if kind in self.modules)
        given = (self.modules[kind] or {}).items()
        return {argument: getattr(module, source) if isinstance(source, str) else source for argument, source in given}


UNKNOWN = Call(("a call that no row knows",))


def same(*attributes: str) -> dict[str, object]:
    """Of a module whose attributes have the names of the function's arguments."""
    return {attribute: attribute for attribute in attributes}
