"""A walk through a network, call by call: each quantizer meets inputs that all before it have already quantized.

1. A call is made for every batch before the next call is looked at.
2. A quantizer without a binary point keeps an even sample and both ends of what reaches it, and ends the call. After the last
   batch its binary point is found, and the call is made again, up to the next such quantizer.
3. Before the first call of a batch normalisation its running statistics are corrected by what the new formats have done to its
   input, per channel and over the same samples, so that what these alone have in common plays little part:

       mean += mean_new - mean_old,    var *= var_new / var_old

   Old is the network as it came: quantized where all quantizers are on and calibrated, else in floating point. The variance of a
   channel that is constant in one of them stays. A batch normalisation that has never been trained takes mean_new and var_new.
4. Values that a later call reads are kept. Beyond `MOST_BYTES` of them none is kept, and each call that has something to find
   computes all before it anew: slow, in the memory of one batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from qfx.frontend.leaf import Leaf, network_of
from qfx.frontend.trace import Trace, trace
from qfx.nn.batch_norm import BatchNorm
from qfx.quant import Quantizer, QuantSpec, quantizers, set_enabled

BATCH = 32
"""Samples that are computed together, however they come."""
MOST_BYTES = 1 << 30
"""Of values that are kept between two calls."""

Search = Callable[[Tensor, QuantSpec], Tensor]
"""Finds the binary point for a tensor: int64, a scalar or (channels,)."""
Batch = tuple[Tensor, ...]
"""A tensor per input of the model."""
Values = dict[fx.Node, Any]
"""Results of the calls so far, of one batch."""


class Collected(BaseException):  # no error, and no handler of errors may catch it
    """Ends a call: a quantizer has seen its input and has no binary point yet."""


class EvenSample:
    """What reaches a quantizer: an even sample of the values, the least and the largest.

    Args:
        samples: how many there are in all batches together.
        most: about how many values to keep.
    """

    def __init__(self, samples: int, most: int) -> None:
        self.samples, self.most = samples, most
        self._parts: list[Tensor] = []
        self._ends: list[Tensor] = []

    def add(self, x: Tensor, size: int) -> None:
        """Of a batch of `size` samples: x, whose first axis is as long, or a multiple of it."""
        rows = x.detach().reshape(size if x.dim() and len(x) % size == 0 else 1, -1)
        stride = 1 + rows.shape[1] * self.samples // self.most
        self._parts.append(rows[:, :: stride + 1 - stride % 2].reshape(-1))  # odd, to walk through all channels and columns
        self._ends.append(torch.stack(torch.aminmax(rows)))

    def values(self) -> Tensor:
        """The even sample."""
        return torch.cat(self._parts)

    def ends(self) -> Tensor:
        """The least and the largest of all values."""
        return torch.stack(torch.aminmax(torch.cat(self._ends)))


class Moments:
    """Mean and biased variance per channel (axis 1) of tensors that come one after the other, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: Tensor | float = 0.0
        self._square: Tensor | float = 0.0

    def add(self, x: Tensor) -> None:
        """x (batch, channel, ...)."""
        rows = x.detach().to(torch.float64).transpose(0, 1).reshape(x.shape[1], -1)
        self.count += rows.shape[1]
        self._sum = self._sum + rows.sum(1)
        self._square = self._square + rows.square().sum(1)

    def mean(self) -> Tensor:
        """(channels,)."""
        return torch.as_tensor(self._sum) / self.count

    def var(self) -> Tensor:
        """(channels,)."""
        return (torch.as_tensor(self._square) / self.count - self.mean().square()).clamp(min=0)


def even_batches(batches: Sequence[Batch]) -> list[Batch]:
    """The same samples, `BATCH` in each batch but the last, so that results do not depend on how they came."""
    even: list[Batch] = []
    waiting: list[Batch] = []
    for sample in (tuple(x[i : i + 1] for x in batch) for batch in batches for i in range(len(batch[0]))):
        waiting.append(sample)
        if len(waiting) == BATCH:
            even.append(_joined(waiting))
            waiting = []
    return [*even, _joined(waiting)] if waiting else even


def _joined(samples: Sequence[Batch]) -> Batch:
    return tuple(torch.cat(parts) for parts in zip(*samples, strict=True))


def moments(model: nn.Module, traced: Trace, batches: Sequence[Batch]) -> dict[BatchNorm, Moments]:
    """What reaches each batch normalisation of a model in eval, quantized if all quantizers are ready, else in floating point.

    Call by call, like what follows: a model that is not proved, or cannot be, is calibrated all the same.

    Args:
        traced: the calls of the model.
    """
    found = {norm: Moments() for norm in model.modules() if isinstance(norm, BatchNorm)}

    def see(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, BatchNorm)
        found[norm].add(inputs[0])

    handles = [norm.register_forward_pre_hook(see) for norm in found]
    enabled = {quantizer: quantizer.enabled for quantizer in quantizers(model).values()}
    if not all(quantizer.ready for quantizer in enabled):
        set_enabled(model, False)
    try:
        network = fx.Interpreter(traced.module)
        for batch in batches if found else ():
            network.run(*(part.clone() for part in batch))  # a call may change its operand in place
    finally:
        for quantizer, was in enabled.items():
            quantizer.enabled = was
        for handle in handles:
            handle.remove()
    return found


def calls_of(model: nn.Module) -> Trace:
    """The calls of a model in order. A converted network is a graph of them already; another is traced.

    Raises:
        LoweringError: it cannot be traced.
    """
    network = network_of(model)
    if isinstance(network, fx.GraphModule):
        nodes = list(network.graph.nodes)
        called = [network.get_submodule(str(node.target)) for node in nodes if node.op == "call_module"]
        if all(isinstance(module, Leaf) or not quantizers(module) for module in called):
            return Trace(network, nodes)
    return trace(network)


class CallByCall:
    """See the module.

    Args:
        traced: the calls of a model in eval, see `calls_of`.
        batches: none of them empty.
        search: finds binary points.
        most: values to keep of what reaches a quantizer; None for the least and the largest alone.
        old: what reached each batch normalisation before; None to leave their statistics alone.

    Attributes:
        silent: names of the quantizers that made 0 of every value of their sample.
    """

    def __init__(
        self,
        traced: Trace,
        batches: Sequence[Batch],
        search: Search,
        most: int | None,
        old: Mapping[BatchNorm, Moments] | None = None,
    ) -> None:
        self.traced = traced
        self.batches, self.search, self.most = batches, search, most
        self._old = old or {}
        self.samples = sum(len(batch[0]) for batch in batches)
        self.silent: list[str] = []
        self._calls = Counter(layer for node in self.traced.nodes if (layer := self.traced.layer(node)) is not None)
        self._last = {read: node for node in self.traced.nodes for read in node.all_input_nodes}
        self._kept: list[Values] | None = [{} for _ in batches]
        self._seen: dict[Quantizer, EvenSample] = {}
        self._size = 0
        self._interpreter = fx.Interpreter(self.traced.module, garbage_collect_values=False)

    def run(self) -> None:
        """Make all calls.

        Raises:
            QuantizationError: an empty tensor, or a value that is NaN or infinite, at a quantizer.
        """
        prepared = set[nn.Module]()
        for node in self.traced.nodes:
            layer = self.traced.layer(node)
            if layer is not None:
                if layer in prepared:
                    self._forget(layer)
                self._prepare(layer, node)
                prepared.add(layer)
            if self._kept is not None:
                self._keep(node, self._kept)

    def see(self, quantizer: Quantizer, x: Tensor) -> None:
        """Called by a quantizer without a binary point: finds that of a constant, and ends the call for all others."""
        if quantizer.constant:
            quantizer.calibrate(x, self.search)
            return
        quantizer.check(x)
        sample = self._seen.setdefault(quantizer, EvenSample(self.samples, self.most or 1))
        sample.add(x, self._size)
        raise Collected(quantizer)

    def _forget(self, layer: nn.Module) -> None:
        """A layer that is called again gets the binary points for all its calls together."""
        for quantizer in self._seen.keys() & set(layer.modules()):
            quantizer.calibrated.fill_(False)
            self.silent = [name for name in self.silent if name != quantizer.name]

    def _prepare(self, layer: nn.Module, node: fx.Node) -> None:
        """Find what the call needs and does not have."""
        if isinstance(layer, BatchNorm) and self._old and self._calls[layer] == 1:
            self._correct(layer, node)
        quantizers = [module for module in layer.modules() if isinstance(module, Quantizer)]
        while any(quantizer.enabled and not quantizer.calibrated for quantizer in quantizers):
            waiting = self._collect(node)
            if waiting is None:
                return
            sample = self._seen[waiting] if self._calls[layer] > 1 else self._seen.pop(waiting)
            seen = sample.ends() if self.most is None else sample.values()
            waiting.calibrate(seen, self.search)
            if not bool(waiting(seen).any()):
                self.silent.append(waiting.name)

    def _collect(self, node: fx.Node) -> Quantizer | None:
        """Make the call for every batch, up to the first quantizer without a binary point; None if there is none on the way."""
        waiting: Quantizer | None = None
        for index, batch in enumerate(self.batches):
            self._size = len(batch[0])
            try:
                self._call(node, index, self._values(node, index))
            except Collected as stop:
                (waiting,) = stop.args
            else:
                return None
        return waiting

    def _correct(self, norm: BatchNorm, node: fx.Node) -> None:
        """The statistics of a batch normalisation."""
        new, old = Moments(), self._old[norm]
        for index in range(len(self.batches)):
            new.add(self._values(node, index)[node.all_input_nodes[0]])
        if norm.untrained:
            norm.set_statistics(new.mean(), new.var() * (new.count / max(1, new.count - 1)))
        else:
            both = (old.var() > 0) & (new.var() > 0)  # a channel that quantization has made constant keeps a finite scale
            ratio = torch.where(both, new.var() / old.var(), torch.ones_like(old.var()))
            norm.set_statistics(norm.running_mean + (new.mean() - old.mean()), norm.running_var * ratio)

    def _keep(self, node: fx.Node, kept: list[Values]) -> None:
        """Make the call for every batch and keep its results; forget what no later call reads."""
        for index, values in enumerate(kept):
            values[node] = self._call(node, index, values)
            self._drop(node, values)
        if sum(_bytes(value) for values in kept for value in values.values()) > MOST_BYTES:
            self._kept = None

    def _values(self, node: fx.Node, index: int) -> Values:
        """What the call reads, of one batch."""
        if self._kept is not None:
            return self._kept[index]
        values: Values = {}
        for before in self.traced.nodes:
            if before is node:
                break
            values[before] = self._call(before, index, values)
            self._drop(before, values)
        return values

    def _call(self, node: fx.Node, index: int, values: Values) -> Any:
        if node.op == "placeholder":
            position = [other for other in self.traced.nodes if other.op == "placeholder"].index(node)
            return self.batches[index][position].clone() if position < len(self.batches[index]) else node.args[0]
        self._interpreter.env = values
        return self._interpreter.run_node(node)

    def _drop(self, node: fx.Node, values: Values) -> None:
        for read in node.all_input_nodes:
            if self._last[read] is node:
                values.pop(read, None)


def _bytes(value: Any) -> int:
    return value.nbytes if isinstance(value, Tensor) else 0
