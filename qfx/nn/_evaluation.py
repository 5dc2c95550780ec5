"""What the layers are told while a forward runs, and who looks at their steps.

A model's plan (`qfx.nn._plan`) makes an `Evaluation` for each of its forwards in eval. Layers read it through the methods of
`Layer`; without one they compute every step by themselves, in eval in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from qfx.quant.tracing import recording, unseen

Constants = tuple[Tensor | None, ...]
"""What a layer computes with, made of its parameters."""
Observer = Callable[[nn.Module, str, Tensor], None]
"""Called with the layer, the suffix and the real value of every step that is computed."""
Dtypes = Mapping[str, torch.dtype]
"""Suffix of a step -> its accumulator dtype."""
NO_DTYPES: Dtypes = {}


def nothing() -> Tensor:
    """A tensor without values: on the meta device, so that whoever reads it meets an error and no wrong number."""
    return torch.empty(0, device="meta")


@dataclass(frozen=True)
class Link:
    """A layer that may leave its step to the only reader of its value.

    Attributes:
        layer, reader: the two.
        watchers: modules whose hooks would see what is not computed.
        placeholder: what the layer returns then.
    """

    layer: nn.Module
    reader: nn.Module
    watchers: frozenset[nn.Module]
    placeholder: Tensor = field(default_factory=nothing)


@dataclass(frozen=True)
class Postponed:
    """A step that a reader computes together with its own: of which layer, and the layer's operands."""

    layer: nn.Module
    operands: Sequence[Tensor]
    reader: nn.Module


Step = Callable[["Evaluation", nn.Module, Sequence[Tensor]], Tensor | None]
"""Computes a layer, given its operands, in place of its forward; None where there is nothing to do but that."""


@dataclass(frozen=True)
class Evaluation:
    """One forward of a model.

    Attributes:
        dtypes: layer -> its steps' accumulator dtypes, as proved.
        wide: layers whose result goes on in float64, because a plain torch function after them needs that.
        steps: what is computed in place of a layer's forward.
        links: of the layers that leave their step to a reader.
        kept: constants of layers, which stay while the proof holds; None where none may be kept.
        hooked: modules with hooks.
        observer: sees every step.
        training: whether the network trains; a layer of it that is kept in eval, such as a frozen batch normalisation, then
            computes in the dtypes of training, with gradients.
    """

    dtypes: Mapping[nn.Module, Dtypes] = field(default_factory=dict[nn.Module, Dtypes])
    wide: Set[nn.Module] = frozenset()
    steps: Mapping[nn.Module, Step] = field(default_factory=dict[nn.Module, Step])
    links: Mapping[nn.Module, Link] = field(default_factory=dict[nn.Module, Link])
    kept: dict[nn.Module, Constants] | None = None
    hooked: Set[nn.Module] = frozenset()
    observer: Observer | None = None
    training: bool = False
    _postponed: dict[int, Postponed] = field(default_factory=dict[int, Postponed])

    def dtypes_of(self, layer: nn.Module) -> Dtypes:
        """The accumulator dtypes of a layer; none without a proof."""
        return self.dtypes.get(layer, NO_DTYPES)

    def constants(self, layer: nn.Module, make: Callable[[], Constants]) -> Constants:
        """Of a layer: those that are kept, unless a gradient or a hook wants to see how they are made, or somebody records."""
        if recording():
            with torch.no_grad(), unseen():
                return make()
        if self.kept is None or torch.is_grad_enabled():
            return make()
        if self.hooked and not self.hooked.isdisjoint((layer, *layer.children())):
            return make()
        found = self.kept.get(layer)
        if found is None:
            found = self.kept[layer] = make()
        return found

    def postpone(self, layer: nn.Module, operands: Sequence[Tensor]) -> Tensor | None:
        """Leave a step to the reader of its value; returns what stands for the value, None where there is no such reader."""
        link = self.links.get(layer)
        if link is None:
            return None
        self._postponed[id(link.placeholder)] = Postponed(layer, operands, link.reader)
        return link.placeholder

    def take(self, x: Tensor, reader: nn.Module) -> Tensor | Postponed:
        """The step that `x` stands for, where it was left to `reader`; else `x`."""
        found = self._postponed.get(id(x))
        return x if found is None or found.reader is not reader else self._postponed.pop(id(x))


_NONE = Evaluation()
_running: ContextVar[Evaluation] = ContextVar("of the forward that runs", default=_NONE)


def running() -> Evaluation:
    """Of the forward that runs; one that says nothing where there is none, and in compiled code."""
    return _NONE if torch.compiler.is_compiling() else _running.get()


@contextmanager
def entered(evaluation: Evaluation) -> Generator[None]:
    """Make it that of the forward inside."""
    token = _running.set(evaluation)
    try:
        yield
    finally:
        _running.reset(token)


@contextmanager
def observing(observer: Observer) -> Generator[None]:
    """Show every step that any layer computes inside to `observer`, in eval and in training; nothing is computed together."""
    with entered(replace(running(), observer=observer, steps={}, links={})):
        yield
