"""What all layers share: taps, accumulator dtypes, and the requantize step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor, fx

from qfx.annotations import explained_init
from qfx.errors import QuantizationError
from qfx.frontend.leaf import Leaf
from qfx.frontend.scope import IMAGE, RESULT, Scope
from qfx.ir import Value
from qfx.nn._evaluation import Constants, running
from qfx.ops import Affine, Requantize
from qfx.quant import Quantizer
from qfx.quant.stated import KEY, SOURCE, Stated, shown
from qfx.quant.tracing import cannot_follow


class Layer(Leaf, Stated):
    """Base of the layers that have a fixed-point meaning.

    A layer computes step by step. Each step has a suffix (the empty one for its own value, `.quant` for the Requantize after it),
    under which the graph has a node and `tap` shows the value. In training and in float mode steps keep the dtype of their input;
    in eval a step has the accumulator dtype that its model's proof gives it, float64 without one.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls) and cls.__module__.startswith("qfx.nn."):
            explained_init(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], fx.Proxy):  # a layer is a leaf of anybody's trace
            tracer: Any = args[0].tracer
            return tracer.create_proxy("call_module", tracer.path_of_module(self), args, kwargs)
        if not self.training and not kwargs:
            evaluation = running()
            step = evaluation.steps.get(self)
            result = None if step is None else step(evaluation, self, args)
            if result is not None:
                return result
        return super().__call__(*args, **kwargs)

    def __prepare_scriptable__(self) -> NoReturn:
        """Asked for by torch.jit.script."""
        raise cannot_follow("torch.jit.script")

    def constants(self) -> Constants:
        """What the layer computes with, made of its parameters, in the dtype of the step."""
        return ()

    def kept_constants(self) -> Constants:
        """`constants()`; while a proof holds they are made once."""
        return running().constants(self, self.constants) if self.exact else self.constants()

    @property
    def observed(self) -> bool:
        """Whether somebody sees every step."""
        return running().observer is not None

    @property
    def exact(self) -> bool:
        """Whether the layer computes integers exactly: in eval, and the network too, with its quantizers on."""
        return (
            not self.training
            and not running().training
            and all(not isinstance(c, Quantizer) or c.enabled for c in self._modules.values())
        )

    def format_differences(self, state: Mapping[str, Any], prefix: str) -> Iterator[str]:
        """Those of the layer itself, and casts that only one side has."""
        yield from super().format_differences(state, prefix)
        if prefix + KEY not in state:  # the layer is not there, or its casts have no formats
            return
        inside = [key[len(prefix) :].split(".") for key in state if key.startswith(prefix)]
        there = {parts[0] for parts in inside if len(parts) == 2 and parts[1] == KEY}
        here = {name: child for name, child in self._modules.items() if isinstance(child, Stated)}
        for name in sorted(there - here.keys()):
            yield f"{prefix}{name}: {SOURCE} has {shown(Quantizer, state[f'{prefix}{name}.{KEY}'])}; the network has none"
        for name in sorted(here.keys() - there):
            yield f"{prefix}{name}: {SOURCE} has none; the network has {shown(type(here[name]), here[name].get_extra_state())}"

    def _quantizers(self) -> list[Quantizer]:
        return [child for child in self._modules.values() if isinstance(child, Quantizer)]

    def to_accumulator(self, suffix: str, x: Tensor) -> Tensor:
        """`x` in the dtype in which step `suffix` is computed."""
        if not self.exact:
            return self._as_parameters(x) if self.training and x.dtype == torch.float64 else x
        unproved = torch.float64 if self._quantizers() else x.dtype  # without a quantizer, the producer's dtype will do
        return x.to(running().dtypes_of(self).get(suffix, unproved))

    def _as_parameters(self, x: Tensor) -> Tensor:
        """`x` in the dtype of the parameters: in a network that is no `Model`, a frozen layer before this one gives float64."""
        kinds = [parameter.dtype for parameter in self._parameters.values() if parameter is not None]
        return x.to(kinds[0]) if kinds else x

    def tap(self, suffix: str, x: Tensor) -> Tensor:
        """Show the value of step `suffix` to whoever observes."""
        observer = running().observer
        if observer is not None:
            observer(self, suffix, x)
        return x

    def on_image(self, compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """`compute`, which works on (batch, channel, height, width), for `x` (batch, channel, length); see `Scope.add_on_image`."""
        if x.dim() != 3:
            raise QuantizationError(f"{type(self).__name__} wants (batch, channel, length), not {tuple(x.shape)}")
        result = compute(self.to_accumulator(RESULT, self.tap(IMAGE, x.unsqueeze(2))))
        return self.tap("", self.tap(RESULT, result).squeeze(2))

    def emit(self, x: Tensor) -> Tensor:
        """The layer's result, in the dtype that its consumers need."""
        return x.to(torch.float64) if self in running().wide and self.exact else x

    def cast(self, suffix: str, quantizer: Quantizer | None, x: Tensor, relu: bool = False) -> Tensor:
        """The Requantize step `suffix`, of max(x, 0) with `relu`; without a quantizer there is none."""
        if quantizer is None:
            return x.relu() if relu else x
        narrow = self.exact and suffix in running().dtypes_of(self)  # what follows is proved, too, and widens where it has to
        return self.tap(suffix, quantizer(self.to_accumulator(suffix, x), relu, narrow))


def lower_cast(scope: Scope, suffix: str, quantizer: Quantizer | None, x: Value) -> Value:
    """The graph's side of `Layer.cast`.

    Raises:
        QuantizationError: K-hot activations; a Requantize has no such rounding.
    """
    if quantizer is None:
        return x
    spec = quantizer.spec
    if spec.k_hot is not None:
        raise QuantizationError(f"{scope.name}{suffix}: activations cannot be {spec.k_hot}-hot; only constants can")
    return scope.add(suffix, Requantize(quantizer.fixed_type(), spec.rounding, spec.overflow), x)


def lower_constant(scope: Scope, suffix: str, quantizer: Quantizer, x: Tensor) -> Value:
    """The constant that `quantizer` makes of parameter `x`."""
    return scope.constant(suffix, *quantizer.codes(x))


def lower_affine(scope: Scope, suffix: str, x: Value, scale: tuple[Quantizer, Tensor], offset: tuple[Quantizer, Tensor]) -> Value:
    """Scale and offset per channel, each a parameter and what quantizes it, as the constants `.scale` and `.offset`."""
    constants = lower_constant(scope, ".scale", *scale), lower_constant(scope, ".offset", *offset)
    return scope.add(suffix, Affine(scale[0].spec.k_hot), x, *constants)
