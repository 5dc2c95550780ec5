"""Post-processing on the CPU, which may end a model: softmax, log-softmax, topk, sort. The graph ends before it and names it."""

from __future__ import annotations

import dataclasses
import operator
from dataclasses import dataclass

from torch import fx, nn

from qfx.errors import LoweringError
from qfx.frontend.calls.call import Call, same
from qfx.frontend.calls.shapes import axis_of
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.ir.host_step import HostStep


@dataclass(frozen=True)
class Head:
    """The result of such a call; only an output of the model may be one.

    Attributes:
        name: of the torch function.
        x: the value that the graph ends in.
        steps: one per tensor of the result.
    """

    name: str
    x: Value
    steps: tuple[HostStep, ...]

    def part(self, target: object, args: tuple[object, ...]) -> Head | None:
        """One of several tensors, as `topk(...)[0]` or `topk(...).values` takes it; None if this call does something else."""
        names = ("values", "indices")
        key = args[1] if len(args) == 2 else None
        index = names.index(key) if target is getattr and key in names else key if target is operator.getitem else None
        if len(self.steps) == 1 or not isinstance(index, int) or not -len(self.steps) <= index < len(self.steps):
            return None
        return dataclasses.replace(self, steps=(self.steps[index],))

    def ends(self, node: fx.Node) -> bool:
        """Whether nothing but the outputs of the model read `node`, whose result this is, or parts of it."""
        parts = ((user, self.part(user.target, user.args)) for user in node.users if user.op != "output")
        return all(part is not None and part.ends(user) for user, part in parts)

    @property
    def misplaced(self) -> str:
        """What a message says of a head that something else reads."""
        return f"{self.name}, post-processing on the CPU, which can only end a network"


def softmax(scope: Scope, x: Value, dim: int | None = None, _stacklevel: object = None, dtype: object = None) -> Head:
    return _along(scope, x, "softmax", dim)


def log_softmax(scope: Scope, x: Value, dim: int | None = None, _stacklevel: object = None, dtype: object = None) -> Head:
    return _along(scope, x, "log_softmax", dim)


def _along(scope: Scope, x: Value, kind: str, dim: int | None) -> Head:
    if dim is None:
        raise LoweringError(f"{kind} without an axis depends on the number of axes; name it, as dim=1")
    return Head(kind, x, (HostStep(scope.name, kind, x.name, axis_of(x, dim) - 1),))


def topk(scope: Scope, x: Value, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Head:
    axis = axis_of(x, dim) - 1
    if not 1 <= k <= x.shape[axis]:
        raise LoweringError(f"the {k} greatest of {x.shape[axis]} do not exist; take 1 to {x.shape[axis]}")
    values = HostStep(f"{scope.name}.values", "topk", x.name, axis, k, largest)
    return Head("topk", x, (values, dataclasses.replace(values, name=f"{scope.name}.indices", kind="topk_indices")))


def sort(scope: Scope, x: Value, dim: int = -1, descending: bool = False, stable: bool = False) -> Head:
    return dataclasses.replace(topk(scope, x, x.shape[axis_of(x, dim) - 1], dim, descending), name="sort")


def argsort(scope: Scope, x: Value, dim: int = -1, descending: bool = False, stable: bool = False) -> Head:
    return dataclasses.replace(sort(scope, x, dim, descending), name="argsort", steps=sort(scope, x, dim, descending).steps[1:])


_SOFTMAX = (
    "leave it out: it keeps the order of its inputs, so torch.argmax(x, dim=1) or the bare logits can end the network; "
    "as the last step, it becomes post-processing on the CPU"
)
_ORDER = "torch.argmax(x, dim=1) gives the best on the chip; topk and sort as the last step become post-processing on the CPU"

CALLS = (
    Call(
        ("softmax",),
        modules={nn.Softmax: same("dim"), nn.Softmax2d: {"dim": -3}},
        lower=softmax,
        instead=_SOFTMAX,
    ),
    Call(("log_softmax",), modules={nn.LogSoftmax: same("dim")}, lower=log_softmax, instead=_SOFTMAX),
    Call(("topk",), lower=topk, instead=_ORDER),
    Call(("sort",), lower=sort, instead=_ORDER),
    Call(("argsort",), lower=argsort, instead=_ORDER),
    Call(("max", "amax", "min", "amin", "argmin"), instead=_ORDER),
    Call(
        ("softmin",),
        modules={nn.Softmin: None},
        instead="use F.softmax(-x, dim=1) as the last step, which becomes post-processing on the CPU",
    ),
)
