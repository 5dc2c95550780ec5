"""Model: a torch model that computes exactly in eval, on the strength of a proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from qfx.errors import QuantizationError
from qfx.ir.proof import Proof
from qfx.ir import Graph
from qfx.nn.arithmetic import exact_arithmetic
from qfx.nn.layer import Layer
from qfx.nn.proof import install
from qfx.nn.proven import Proven, current
from qfx.quant import Quantizer, quantizers

if TYPE_CHECKING:
    from typing_extensions import Self

    from qfx.export.lower import Lowered

Shape = tuple[int, ...]

_inside: ContextVar[bool] = ContextVar("inside a model's forward", default=False)


class Model(nn.Module):
    """Base class of a network of qfx.nn layers, or a wrapper round one.

    The first forward in eval lowers the model, proves in which dtype each step is exact (law 4), and lets the layers compute
    in it. The proof is made anew when a parameter, a buffer or the input's shape has changed. A model whose quantizers
    are all off is a float model and needs no proof. What `torch.compile` makes of the model serves training; eval runs
    uncompiled, since a compiler may reorder and fuse what the proof is about.

    Args:
        module: the network to wrap; None for a subclass with a forward of its own.
    """

    def __init__(self, module: nn.Module | None = None) -> None:
        super().__init__()
        self.module = module
        self._proven: Proven | None = None
        self._shapes: list[Shape] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() and not self.training:
            uncompiled: Callable[..., Any] = torch.compiler.disable(self._call)
            return uncompiled(*args, **kwargs)
        return self._call(*args, **kwargs)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        if _inside.get():  # a part of a larger model: the larger one proves
            return super().__call__(*args, **kwargs)
        proving = not self.training and all(isinstance(argument, Tensor) for argument in args) and bool(args)
        proven = self._prove([tuple(argument.shape[1:]) for argument in args]) if proving else None
        exact = nullcontext() if proven is None else exact_arithmetic(args[0].device)
        token, proof_token = _inside.set(True), current.set(proven)
        try:
            with exact:
                return super().__call__(*args, **kwargs)
        finally:
            _inside.reset(token)
            current.reset(proof_token)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The wrapped network; a subclass has a forward of its own."""
        if self.module is None:
            raise QuantizationError(f"{type(self).__name__} has no forward; define one, or wrap a network: qfx.nn.Model(network)")
        return self.module(*args, **kwargs)

    def lower(self, input_shape: Shape | Sequence[Shape], name: str = "network") -> Graph:
        """The graph of this model; see `qfx.export.lower.lower`."""
        return self._lowered(input_shape, name).graph

    def exactness(self, input_shape: Shape | Sequence[Shape] | None = None) -> list[Proof]:
        """Per step: the largest intermediate integer, and the carrier in which it is exact.

        Args:
            input_shape: without the batch axis; None for the shape of the last forward in eval.

        Raises:
            QuantizationError: no shape is known yet.
            ExactnessError: a step that torch cannot compute exactly.
        """
        if input_shape is None and not self._shapes:
            raise QuantizationError("exactness() needs input_shape=(channels, height, width) before the first forward in eval")
        shapes = self._shapes if input_shape is None else input_shape
        self._proven = None  # the layers get the carriers of these shapes
        return list(install(self._lowered(shapes, "network")).values())

    def train(self, mode: bool = True) -> Self:
        """As in torch; the proof does not survive training."""
        if mode:
            self._proven = None
        return super().train(mode)

    def _lowered(self, shapes: Shape | Sequence[Shape], name: str) -> Lowered:
        from qfx.export.lower import lower_traced  # it imports this module

        return lower_traced(self, shapes, name)

    def _prove(self, shapes: list[Shape]) -> Proven | None:
        """The proof, made unless there is one that holds; None for a model that does not compute exactly."""
        modules = _modules(self)
        formats = [(module.enabled, module.calibrating, module.spec) for module in modules if isinstance(module, Quantizer)]
        if not any(enabled for enabled, *_ in formats) or any(calibrating for _, calibrating, _ in formats):
            return None
        key = (shapes, formats)
        tensors = [t for module in modules for t in (*module._parameters.values(), *module._buffers.values()) if t is not None]
        if self._proven is None or not self._proven.holds(key, tensors, _carriers(modules)):
            self._proven = None
            quantizers(self)  # they learn their names, for messages
            with torch.no_grad():
                proofs = install(self._lowered(shapes, "network"))
            self._shapes, self._proven = shapes, Proven(proofs, key, tensors, _carriers(modules))
        return self._proven

    def __getstate__(self) -> dict[str, Any]:
        """Without the proof, which is about these tensors and no copies."""
        return {**self.__dict__, "_proven": None}


def _carriers(modules: Sequence[nn.Module]) -> dict[nn.Module, object]:
    """The carriers of every layer: a new dictionary for every proof."""
    return {module: module.carriers for module in modules if isinstance(module, Layer)}


def _modules(model: nn.Module) -> list[nn.Module]:
    """Every module of `model` once, in a fixed order; `Module.modules` takes as long as a layer."""
    found: dict[int, nn.Module] = {}
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if id(module) not in found:
            found[id(module)] = module
            waiting += [child for child in module._modules.values() if child is not None]  # pyright: ignore[reportPrivateUsage]
    return list(found.values())
