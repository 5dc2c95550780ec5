"""What a trace and a lowering know of modules that are not torch's own. The layers of qfx.nn derive from these classes."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn

from qfx.fixed import FixedType
from qfx.frontend.scope import Scope
from qfx.ir import Value


class Leaf(nn.Module):
    """A module that a trace does not enter: it states its own ops."""

    @abstractmethod
    def lower(self, scope: Scope, *inputs: Value) -> Value:
        """Add the module's ops to the graph; returns its result."""


class InputLeaf(Leaf):
    """A leaf that may read an input of the model, and gives it a format."""

    @abstractmethod
    def input_type(self) -> FixedType:
        """Format of the graph input."""


class NetworkModule(nn.Module):
    """A network, or a wrapper round one: a graph names values by paths within `module` where there is one.

    Attributes:
        module: the wrapped network; None for a network with a forward of its own.
    """

    module: nn.Module | None


def network_of(model: nn.Module) -> nn.Module:
    """The network itself, without a wrapper round it."""
    return model.module if isinstance(model, NetworkModule) and model.module is not None else model
