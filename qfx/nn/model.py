"""Model: a torch model that computes exactly in eval, on the strength of a proof."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from qfx.annotations import explained_init
from qfx.errors import QuantizationError
from qfx.frontend import Lowered, lower, lower_traced
from qfx.frontend.leaf import NetworkModule
from qfx.ir import Graph
from qfx.ir.proof import Proof
from qfx.nn._basis import Basis, Shape
from qfx.nn._evaluation import entered, running
from qfx.nn._plan import Plan, prove_in_torch
from qfx.nn.state_dict import fitted
from qfx.quant.exact_arithmetic import exact_arithmetic
from qfx.quant.once import making
from qfx.quant.tracing import check_followed, unseen

if TYPE_CHECKING:
    from typing_extensions import Self


_inside: ContextVar[bool] = ContextVar("inside a model's forward", default=False)


@explained_init
class Model(NetworkModule):
    """Base class of a network of qfx.nn layers, or a wrapper round one.

    The first forward in eval lowers the model, proves in which accumulator dtype each step is exact (invariant 4), and makes a plan
    of it. The plan is made anew when a parameter, a buffer, a format, a mode or the input's shape has changed. A model whose
    quantizers are all off is a float model and needs none. What `torch.compile` makes of the model serves training; eval runs
    uncompiled, since a compiler may reorder and fuse what the proof is about.

    Without gradients the plan takes some steps together, such as a batch normalisation and the ReLU after it. Between the two
    goes a tensor without values, so look at values by a forward hook, which has its layer computed by itself.

    Args:
        module: the network to wrap; None for a subclass with a forward of its own.
    """

    def __init__(self, module: nn.Module | None = None) -> None:
        super().__init__()
        self.module = module
        self._plan: Plan | None = None
        self._shapes: list[Shape] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() and not self.training:
            uncompiled: Callable[..., Any] = torch.compiler.disable(self._call)
            return uncompiled(*args, **kwargs)
        return self._call(*args, **kwargs)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        if _inside.get():  # a part of a larger model: the larger one proves
            return super().__call__(*args, **kwargs)
        check_followed(self.training)
        planned = not self.training and bool(args) and all(isinstance(argument, Tensor) for argument in args)
        with unseen():
            plan = self.exact_plan([tuple(argument.shape[1:]) for argument in args]) if planned else None
        token = _inside.set(True)
        try:
            if plan is None:
                with entered(replace(running(), training=self.training)):
                    return super().__call__(*args, **kwargs)
            with exact_arithmetic(args[0].device), entered(plan.evaluation(running().observer)):
                return super().__call__(*args, **kwargs)
        finally:
            _inside.reset(token)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The wrapped network; a subclass has a forward of its own."""
        if self.module is None:
            raise QuantizationError(f"{type(self).__name__} has no forward; define one, or wrap a network: qfx.nn.Model(network)")
        return self.module(*args, **kwargs)

    def lower(self, input_shape: Shape | Sequence[Shape], name: str = "network") -> Graph:
        """The graph of this model; see `qfx.frontend.lower`."""
        return lower(self, input_shape, name)

    def exactness(self, input_shape: Shape | Sequence[Shape] | None = None) -> list[Proof]:
        """Per step: the largest intermediate integer, and the accumulator dtype in which it is exact.

        Args:
            input_shape: without the batch axis; None for the shape of the last forward in eval.

        Raises:
            QuantizationError: no shape is known yet.
            ExactnessError: a step that torch cannot compute exactly.
        """
        if input_shape is None and not self._shapes:
            raise QuantizationError("exactness() needs input_shape=(channels, height, width) before the first forward in eval")
        shapes = self._shapes if input_shape is None else input_shape
        return list(prove_in_torch(self._lowered(shapes, "network").graph).values())

    def train(self, mode: bool = True) -> Self:
        """As in torch; the plan does not survive training."""
        if mode:
            self._plan = None
        return super().train(mode)

    def exact_plan(self, shapes: Sequence[Shape]) -> Plan | None:
        """How the model computes exactly for inputs of these shapes (without the batch axis); None for a float model.

        Made unless there is one that holds.
        """
        basis = Basis(self, shapes)
        if not basis.exact:
            return None
        plan = self._plan
        if plan is None or not plan.holds(basis):
            with making:
                plan = self._made(basis)
        return plan

    def _made(self, basis: Basis) -> Plan:
        """A new plan, unless another thread has just made one."""
        plan = self._plan
        if plan is None or not plan.holds(basis):
            self._plan = None
            with torch.no_grad():
                plan = self._plan = Plan(self._lowered(basis.shapes, "network"), basis)
            self._shapes = basis.shapes
        return plan

    def _lowered(self, shapes: Shape | Sequence[Shape], name: str) -> Lowered:
        return lower_traced(self, shapes, name)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As in torch, once the state dict fits; formats have to be those of the network, whatever `strict` is.

        Raises:
            StateError: it does not fit, and nothing was loaded; says what differs, or what it is instead.
        """
        state, note = fitted(self, state_dict, strict)
        if note:
            warnings.warn(note, stacklevel=2)
        return super().load_state_dict(state, strict, assign)

    def __getstate__(self) -> dict[str, Any]:
        """Without the plan, which is about these tensors and no copies."""
        return {**self.__dict__, "_plan": None}
