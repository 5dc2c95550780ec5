"""From the proof to the layers: in which dtype each step of a live model is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import fx

from qfx.errors import ExactnessError
from qfx.ir.proof import Proof, prove
from qfx.ir import Graph
from qfx.nn.layer import Layer
from qfx.quant.quantizer import FLOAT32_BITS

if TYPE_CHECKING:
    from qfx.export.lower import Lowered

DTYPES = {"float32": torch.float32, "float64": torch.float64}
FLOAT32_FRAC = 100
"""Up to this |frac| codes of 24 bits are normal float32 numbers; beyond it they underflow, or become infinite."""


def install(lowered: Lowered) -> dict[str, Proof]:
    """Prove the graph and tell every layer its carriers.

    A plain torch function computes in the dtype of its operands; where that has to be float64, the layers before it
    widen their results.

    Raises:
        ExactnessError: a step that float64 does not hold; names it, its bound and the operand formats.
    """
    graph, trace = lowered.graph, lowered.trace
    proofs = prove(graph)
    for proof in proofs.values():
        if proof.accumulator not in DTYPES:
            raise ExactnessError(_refusal(graph, proof))
    dtypes = {name: _dtype(graph, proof) for name, proof in proofs.items()}
    layers = {node: layer for node in trace.nodes if isinstance(layer := trace.layer(node), Layer)}
    for layer in layers.values():
        layer.reset_carriers()
    for node, layer in layers.items():
        for name, suffix in lowered.suffixes.get(node, {}).items():
            # One layer may be called twice: the wider carrier serves both.
            layer.carriers[suffix] = torch.promote_types(layer.carriers.get(suffix, torch.float32), dtypes[name])
    for node in trace.nodes:
        own = lowered.suffixes.get(node, {})
        if node not in layers and any(dtypes[name] == torch.float64 for name in own):
            _widen(node, layers)
    for node, layer in layers.items():
        layer.defers = _may_defer(node, layers, list(trace.nodes))
    return proofs


def _may_defer(node: fx.Node, layers: dict[fx.Node, Layer], nodes: list[fx.Node]) -> bool:
    """Whether the one consumer of `node` casts it at once to a format that float32 holds; both are called once."""
    users = [user for user in nodes if node in user.all_input_nodes]
    if len(users) != 1 or users[0] not in layers or users[0].args.count(node) != 1:
        return False
    consumer = layers[users[0]]
    quantizer = consumer.first_cast(users[0].args.index(node))
    once = all(sum(other is layer for other in layers.values()) == 1 for layer in (layers[node], consumer))
    return once and quantizer is not None and quantizer.spec.width <= FLOAT32_BITS


def _dtype(graph: Graph, proof: Proof) -> torch.dtype:
    """The proof's carrier, or float64 where a real value would leave float32's range of exponents."""
    values = [graph.values[proof.name], *graph.operands(graph.node(proof.name))]
    return DTYPES[proof.accumulator] if all(abs(value.type.frac) <= FLOAT32_FRAC for value in values) else torch.float64


def _widen(node: fx.Node, layers: dict[fx.Node, Layer]) -> None:
    for operand in node.all_input_nodes:
        if operand in layers:
            layers[operand].widen = True
        else:
            _widen(operand, layers)


def _refusal(graph: Graph, proof: Proof) -> str:
    operands = ", ".join(f"{value.name} {value.type.ap_name}" for value in graph.operands(graph.node(proof.name)))
    return (
        f"torch cannot compute {proof.name!r} ({proof.kind} of {operands}) exactly: an intermediate reaches {proof.bits} bits, "
        "float64 holds 53; narrow the operands, or put a Requantize (acc=QuantSpec(...)) before it"
    )
