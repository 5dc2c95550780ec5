"""What the plan of a model rests on, compared at each of its forwards."""
# pyright: reportPrivateUsage=false
# Module.parameters() and the like take as long as a layer.

from __future__ import annotations

from collections.abc import Sequence, Set

from torch import nn
from torch.nn.modules import module as torch_module

from qfx.quant import Quantizer

Shape = tuple[int, ...]


class Basis:
    """What a plan rests on.

    Args:
        model: that is to compute exactly.
        shapes: of its inputs, without the batch axis.

    Attributes:
        modules: every module of the model once, in a fixed order.
        tensors: every parameter and buffer.
        exact: whether the model computes exactly: a quantizer is on.
    """

    def __init__(self, model: nn.Module, shapes: Sequence[Shape]) -> None:
        self.shapes = list(shapes)
        self.modules = _modules(model)
        quantizers = [module for module in self.modules if isinstance(module, Quantizer)]
        self.exact = any(q.enabled for q in quantizers)
        self._formats = [(quantizer.enabled, quantizer.spec) for quantizer in quantizers]
        self._modes = [module.training for module in self.modules]
        self.tensors = [t for m in self.modules for t in (*m._parameters.values(), *m._buffers.values()) if t is not None]

    def agrees(self, other: Basis) -> bool:
        """Whether all is the same but, perhaps, the values of the tensors."""
        return self._described() == other._described()

    def _described(self) -> tuple[object, ...]:
        return self.shapes, self._formats, self._modes, self.modules

    def hooked(self) -> Set[nn.Module]:
        """The modules with a hook that sees a forward."""
        if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
            return frozenset(self.modules)
        return frozenset(module for module in self.modules if module._forward_hooks or module._forward_pre_hooks)


def _modules(model: nn.Module) -> list[nn.Module]:
    """Every module of `model` once, in a fixed order; `Module.modules` takes as long as a layer."""
    found: dict[int, nn.Module] = {}
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if id(module) not in found:
            found[id(module)] = module
            waiting += [child for child in module._modules.values() if child is not None]
    return list(found.values())
