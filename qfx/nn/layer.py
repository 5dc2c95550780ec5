"""What all layers share: taps, carriers, and the requantize step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qfx.errors import QuantizationError
from qfx.frontend.leaf import Leaf
from qfx.frontend.scope import IMAGE, RESULT, Scope
from qfx.ir import Value
from qfx.nn.proven import Constants, current
from qfx.ops import Requantize
from qfx.quant import Quantizer

Observer = Callable[[str, Tensor], None]
"""Called with the suffix and the real value of every step that a layer computes."""


class Layer(Leaf):
    """Base of the layers that have a fixed-point meaning.

    A layer computes step by step. Each step has a suffix (the empty one for its own value, `.quant` for the Requantize after it),
    under which the graph has a node, `tap` shows the value, and `carriers` says in which dtype eval computes it. In training and
    in float mode steps keep the dtype of their input; in eval a step without a proof is computed in float64.

    Attributes:
        carriers: suffix -> dtype in which the step is proved exact; set by the model's proof.
        widen: whether the layer's result goes on in float64, because a plain torch function after it needs that.
        defers: whether the only consumer begins with a cast that can take the layer's last step along (qfx.nn.deferred).
        observer: called at every tap.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reset_carriers()
        self.observer: Observer | None = None

    def reset_carriers(self) -> None:
        """Forget the proof."""
        self.carriers: dict[str, torch.dtype] = {}
        self.widen = False
        self.defers = False

    def first_cast(self, operand: int) -> Quantizer | None:
        """The quantizer that operand number `operand` meets first, before anything else happens to it."""
        return None

    def constants(self) -> Constants:
        """What the layer computes with, made of its parameters, in the dtype of the step."""
        return ()

    def held_constants(self) -> Constants:
        """`constants()`; while a proof holds they are computed once, unless a gradient or a hook wants to see how."""
        hooks: list[object] = [*self._forward_pre_hooks]
        proven = current.get() if self.exact and not (torch.is_grad_enabled() or hooks or self.watched) else None
        if proven is None:
            return self.constants()
        found = proven.constants(self)
        if found is None:
            found = self.constants()
            proven.keep(self, found)
        return found

    def may_defer(self) -> bool:
        """Whether the consumer can take the layer's last step along, and nobody asks for its value."""
        alone = self.observer is None and not self._forward_hooks and not torch.is_grad_enabled()
        return self.defers and self.exact and alone and not self.watched and current.get() is not None

    @property
    def watched(self) -> bool:
        """Whether a hook wants to see what a quantizer does."""
        return any(quantizer.watched for quantizer in self._quantizers())

    @property
    def exact(self) -> bool:
        """Whether the layer computes integers exactly: in eval, with its quantizers on."""
        return not self.training and all(not isinstance(c, Quantizer) or c.enabled for c in self._modules.values())

    def _quantizers(self) -> list[Quantizer]:
        return [child for child in self._modules.values() if isinstance(child, Quantizer)]

    def carry(self, suffix: str, x: Tensor) -> Tensor:
        """`x` in the dtype in which step `suffix` is computed."""
        if not self.exact:
            return x
        unproved = torch.float64 if self._quantizers() else x.dtype  # without a quantizer, the producer's dtype will do
        return x.to(self.carriers.get(suffix, unproved))

    def tap(self, suffix: str, x: Tensor) -> Tensor:
        """Show the value of step `suffix` to the observer."""
        if self.observer is not None:
            self.observer(suffix, x)
        return x

    def on_image(self, compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """`compute`, which works on (batch, channel, height, width), for `x` (batch, channel, length); see `Scope.add_on_image`."""
        if x.dim() != 3:
            raise QuantizationError(f"{type(self).__name__} wants (batch, channel, length), not {tuple(x.shape)}")
        result = compute(self.carry(RESULT, self.tap(IMAGE, x.unsqueeze(2))))
        return self.tap("", self.tap(RESULT, result).squeeze(2))

    def emit(self, x: Tensor) -> Tensor:
        """The layer's result, in the dtype that its consumers need."""
        return x.to(torch.float64) if self.widen and self.exact else x

    def cast(self, suffix: str, quantizer: Quantizer | None, x: Tensor, relu: bool = False) -> Tensor:
        """The Requantize step `suffix`, of max(x, 0) with `relu`; without a quantizer there is none."""
        if quantizer is None:
            return x.relu() if relu else x
        narrow = self.exact and suffix in self.carriers  # what follows is proved, too, and widens where it has to
        return self.tap(suffix, quantizer(self.carry(suffix, x), relu, narrow))


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


def per_channel(x: Tensor, like: Tensor) -> Tensor:
    """(channel,) in a shape that broadcasts over `like` (batch, channel, ...)."""
    dims: int = like.dim()
    return x.reshape([-1] + [1] * (dims - 2))
