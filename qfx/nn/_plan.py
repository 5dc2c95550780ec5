"""The plan of a model's exact forward: made beside the model, from the proof and the trace.

It says in which accumulator dtype each step is exact, which results have to go on in float64, and which steps are taken together;
it keeps the constants. It holds as long as nothing has changed that it rests on: the modules, their modes, the formats, the shapes
of the inputs, and every parameter and buffer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import fx, nn

from qfx.errors import ExactnessError
from qfx.exact import FLOAT32_FRAC
from qfx.ir import Graph
from qfx.ir.proof import Proof, prove
from qfx.nn._basis import Basis
from qfx.nn._evaluation import Constants, Evaluation, Observer
from qfx.nn._together import links, steps
from qfx.nn.layer import Layer
from qfx.quant.snapshot import Snapshot
from qfx.quant.tracing import recording

if TYPE_CHECKING:
    from qfx.frontend import Lowered

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Plan:
    """How one model computes exactly.

    Args:
        lowered: the model's graph and trace.
        basis: what they rest on.

    Attributes:
        lowered: as given.
        proofs: of every step, by its name in the graph.
        dtypes: layer -> suffix -> accumulator dtype.

    Raises:
        ExactnessError: a step that float64 does not hold; names it, its bound and the operand formats.
    """

    def __init__(self, lowered: Lowered, basis: Basis) -> None:
        self.lowered, self._basis, self._snapshot = lowered, basis, Snapshot(basis.tensors)
        self.proofs = prove_in_torch(lowered.graph)
        self.dtypes: dict[nn.Module, dict[str, torch.dtype]] = {}
        self._wide: set[nn.Module] = set()
        self._fill_dtypes()
        self._links = links(lowered.trace, basis.modules)
        self._steps = steps(self._links)
        self._kept: dict[nn.Module, Constants] | None = {} if self._snapshot.comparable else None

    def _fill_dtypes(self) -> None:
        nodes, graph = self.lowered.trace.nodes, self.lowered.graph
        layers = {node: layer for node in nodes if isinstance(layer := self.lowered.trace.layer(node), Layer)}
        of_step = {name: _dtype(graph, proof) for name, proof in self.proofs.items()}
        for node in nodes:
            own = self.lowered.suffixes.get(node, {})
            if node in layers:
                dtypes = self.dtypes.setdefault(layers[node], {})
                for name, suffix in own.items():  # one layer may be called twice: the wider dtype serves both
                    dtypes[suffix] = torch.promote_types(dtypes.get(suffix, torch.float32), of_step[name])
            elif any(of_step[name] == torch.float64 for name in own):
                self._widen(node, layers)

    def _widen(self, node: fx.Node, layers: dict[fx.Node, Layer]) -> None:
        """A plain torch function computes in the dtype of its operands: let the layers before it give float64."""
        for operand in node.all_input_nodes:
            if operand in layers:
                self._wide.add(layers[operand])
            else:
                self._widen(operand, layers)

    def holds(self, basis: Basis) -> bool:
        """Whether nothing has changed that the plan rests on."""
        return self._basis.agrees(basis) and self._snapshot.same(basis.tensors)

    def evaluation(self, observer: Observer | None = None) -> Evaluation:
        """What the layers are told in one forward; where somebody sees a step, or gradients are wanted, each is taken by itself."""
        hooked = self._basis.hooked()
        if observer is not None or torch.is_grad_enabled() or recording():
            return Evaluation(self.dtypes, self._wide, kept=self._kept, hooked=hooked, observer=observer)
        unseen = {link.layer: link for link in self._links if link.watchers.isdisjoint(hooked)}
        return Evaluation(self.dtypes, self._wide, self._steps, unseen, self._kept, hooked)


def prove_in_torch(graph: Graph) -> dict[str, Proof]:
    """The proof of every node, in a dtype that torch computes in.

    Raises:
        ExactnessError: a step that float64 does not hold; names it, its bound and the operand formats.
    """
    proofs = prove(graph)
    for proof in proofs.values():
        if proof.accumulator not in DTYPES:
            operands = ", ".join(f"{value.name} {value.type.ap_name}" for value in graph.operands(graph.node(proof.name)))
            raise ExactnessError(
                f"torch cannot compute {proof.name!r} ({proof.kind} of {operands}) exactly: an intermediate reaches {proof.bits} "
                "bits, float64 holds 53; narrow the operands, or put a Requantize (accumulator=QuantSpec(...)) before it"
            )
    return proofs


def _dtype(graph: Graph, proof: Proof) -> torch.dtype:
    """The proved accumulator dtype, or float64 where a real value would leave float32's range of exponents."""
    values = [graph.values[proof.name], *graph.operands(graph.node(proof.name))]
    return DTYPES[proof.accumulator] if all(abs(value.type.frac) <= FLOAT32_FRAC for value in values) else torch.float64
