"""The steps of eval between a convolution and the next, taken together where nobody looks in between.

A batch normalisation or a sum whose only reader begins with a cast leaves its step to that reader, which computes

    Q(max(sum of Q_i(scale_i[c] * x_i + offset_i[c]), 0))        max only in a ReLU, scale and offset behind a normalisation

in one pass (`qfx.quant.sum_cast`). Which layers do so is read off the trace. At a forward a layer still computes by itself where a
hook could see its value, where gradients are wanted, and where another than the expected reader takes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, fx, nn

from qfx.exact import FLOAT32_BITS
from qfx.nn._evaluation import Evaluation, Link, Postponed, Step
from qfx.nn.add import Add
from qfx.nn.batch_norm import BatchNorm
from qfx.nn.layer import Layer
from qfx.nn.relu import ReLU
from qfx.quant import Quantizer, kernel
from qfx.quant.kernel import Operand
from qfx.quant.sum_cast import operand, sum_cast

if TYPE_CHECKING:
    from qfx.frontend.trace import Trace

Read = Tensor | Postponed


def links(trace: Trace, modules: Sequence[nn.Module]) -> list[Link]:
    """Every such pair among the layers of a trace.

    Args:
        modules: all of the model.
    """
    layers = {node: layer for node in trace.nodes if isinstance(layer := trace.layer(node), Layer)}
    calls = Counter(layers.values())
    containers = {module: set(_below(module)) for module in modules if not isinstance(module, Layer | Quantizer)}
    found: list[Link] = []
    for node, layer in layers.items():
        reader = _reader(node, layers)
        if reader is not None and calls[layer] == calls[reader] == 1:
            between = [module for module, inside in containers.items() if (layer in inside) != (reader in inside)]
            found.append(Link(layer, reader, frozenset([*_below(layer), *_below(reader), *between])))
    return found


def _below(module: nn.Module) -> Iterable[nn.Module]:
    return cast(Iterable[nn.Module], module.modules())


def _reader(node: fx.Node, layers: dict[fx.Node, Layer]) -> Layer | None:
    """The layer that alone reads `node` and casts it at once to a format that float32 holds; None if nothing can be postponed."""
    user = next(iter(node.users)) if len(node.users) == 1 else None
    if user not in layers or user.args.count(node) != 1:
        return None
    layer, reader, position = layers[node], layers[user], user.args.index(node)
    if _computes_as(reader, ReLU) and (_computes_as(layer, BatchNorm) or _computes_as(layer, Add)):
        quantizer = cast(ReLU, reader).quant
    elif _computes_as(reader, Add) and _computes_as(layer, BatchNorm):
        quantizer = cast(Add, reader).branches[position]
    else:
        return None
    return reader if quantizer is not None and quantizer.spec.width <= FLOAT32_BITS else None


def _computes_as(layer: Layer, kind: type[Layer]) -> bool:
    """Whether the forward of `layer` is that of `kind`, and not one that a subclass, or the layer itself, has of its own."""
    return getattr(layer.forward, "__func__", None) is kind.forward


def steps(found: Sequence[Link]) -> dict[nn.Module, Step]:
    """What the layers of some links do in place of their forward."""
    return {layer: _step(layer) for link in found for layer in (link.layer, link.reader)}


def _step(layer: nn.Module) -> Step:
    if isinstance(layer, Add):
        return _add
    return _relu if isinstance(layer, ReLU) else _normalize


def _normalize(evaluation: Evaluation, layer: nn.Module, operands: Sequence[Tensor]) -> Tensor | None:
    return evaluation.postpone(layer, operands)


def _add(evaluation: Evaluation, layer: nn.Module, operands: Sequence[Tensor]) -> Tensor | None:
    placeholder = evaluation.postpone(layer, operands)
    if placeholder is not None:
        return placeholder
    read = [evaluation.take(x, layer) for x in operands]
    return _sum(cast(Add, layer), read) if any(isinstance(x, Postponed) for x in read) else None


def _relu(evaluation: Evaluation, layer: nn.Module, operands: Sequence[Tensor]) -> Tensor | None:
    """The cast of the positive part of what was postponed."""
    relu, x = cast(ReLU, layer), evaluation.take(operands[0], layer)
    if not isinstance(x, Postponed):
        return None
    assert relu.quant is not None
    if isinstance(x.layer, Add):
        read = [evaluation.take(operand, x.layer) for operand in x.operands]
        terms = _terms(evaluation, x.layer, read)
        return relu.forward(_sum(x.layer, read)) if terms is None else relu.emit(sum_cast(terms, relu.quant, relu=True))
    norm = _normalized(x)
    return relu.forward(_value(x)) if norm is None else relu.emit(sum_cast([norm], relu.quant, relu=True))


def _terms(evaluation: Evaluation, add: Add, read: Sequence[Read]) -> list[Operand] | None:
    """The operands of a sum in float32; None where the steps have to be taken, or are faster, one by one."""
    if evaluation.dtypes_of(add).get("") != torch.float32:
        return None
    terms = [_term(x, quantizer) for x, quantizer in zip(read, add.branches, strict=True)]
    found = [term for term in terms if term is not None]
    serves = len(found) == 2 and found[0].x.shape == found[1].x.shape and kernel.serves(*(term.x for term in found))
    return found if serves else None  # torch by itself is faster step by step


def _term(x: Read, quantizer: Quantizer | None) -> Operand | None:
    if quantizer is not None and quantizer.spec.width > FLOAT32_BITS:
        return None
    if isinstance(x, Postponed):
        return _normalized(x, quantizer)
    return operand(x, None, quantizer) if x.dtype == torch.float32 and not torch.is_grad_enabled() else None


def _normalized(x: Postponed, quantizer: Quantizer | None = None) -> Operand | None:
    """A postponed normalisation, and the cast after it, as an operand; None without float32, or with gradients."""
    (source,) = x.operands
    if source.dtype != torch.float32 or torch.is_grad_enabled():
        return None
    scale, offset = cast(BatchNorm, x.layer).kept_constants()
    assert scale is not None and offset is not None
    return operand(source, (scale, offset), quantizer)


def _sum(add: Add, read: Sequence[Read]) -> Tensor:
    """The step of the sum, with the normalisations before it."""
    a, b = (_branch(add, index, x) for index, x in enumerate(read))
    return add.sum(a, b)


def _branch(add: Add, index: int, x: Read) -> Tensor:
    quantizer = add.branches[index]
    if not isinstance(x, Postponed):
        return add.branch(index, x)
    norm = _normalized(x)
    return add.branch(index, _value(x)) if norm is None or quantizer is None else sum_cast([norm], quantizer, relu=False)


def _value(x: Postponed) -> Tensor:
    """The postponed step by itself."""
    return cast(Layer, x.layer).forward(*x.operands)
