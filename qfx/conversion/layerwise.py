"""A walk through a network, call by call: each quantizer meets inputs that all before it have already quantized.

1. A call is made for every batch before the next call is looked at, so no two batches are ever joined.
2. A quantizer without a binary point keeps an even sample and both ends of what reaches it, and ends the call. After the last
   batch its binary point is found, and the call is made again, up to the next such quantizer.
3. A batch normalisation takes mean and variance of its inputs from all batches before its first call.
4. Values that a later call reads are kept. Beyond `most_bytes` of them none is kept, and each call that has something to find
   computes all before it anew: slow, in the memory of one batch.

What is kept of a sample (one entry of a batch) depends on no other sample, so the sizes of the batches do not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from qfx.frontend.trace import trace
from qfx.nn.batch_norm import BatchNorm
from qfx.quant import Quantizer, QuantSpec

MOST_BYTES = 1 << 30
"""Of values that are kept between two calls."""
LEAST_SAMPLES = 16
"""With fewer, a batch normalisation that has been trained keeps its statistics."""

Search = Callable[[Tensor, QuantSpec], Tensor]
"""Finds the binary point for a tensor: int64, a scalar or (channels,)."""
Batch = tuple[Tensor, ...]
"""A tensor per input of the model."""
Values = dict[fx.Node, Any]
"""Results of the calls so far, of one batch."""


class Collected(BaseException):  # no error, and no handler of errors may catch it
    """Ends a call: a quantizer has seen its input and has no binary point yet."""


class Sample:
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


class Walk:
    """See the module.

    Args:
        model: in eval.
        batches: none of them empty.
        search: finds binary points.
        most: values to keep of what reaches a quantizer; None for the least and the largest alone.
        statistics: whether batch normalisations take statistics anew.
        most_bytes: of values to keep between two calls.

    Attributes:
        silent: names of the quantizers that made 0 of every value of their sample.

    Raises:
        LoweringError: the model cannot be traced.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Batch],
        search: Search,
        most: int | None,
        statistics: bool = True,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.traced = trace(model)
        self.batches, self.search, self.most, self.statistics, self.most_bytes = batches, search, most, statistics, most_bytes
        self.samples = sum(len(batch[0]) for batch in batches)
        self.silent: list[str] = []
        self._calls = Counter(layer for node in self.traced.nodes if (layer := self.traced.layer(node)) is not None)
        self._last = {read: node for node in self.traced.nodes for read in node.all_input_nodes}
        self._kept: list[Values] | None = [{} for _ in batches]
        self._seen: dict[Quantizer, Sample] = {}
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
        sample = self._seen.setdefault(quantizer, Sample(self.samples, self.most or 1))
        sample.add(x, self._size)
        raise Collected(quantizer)

    def _forget(self, layer: nn.Module) -> None:
        """A layer that is called again gets the binary points for all its calls together."""
        for quantizer in self._seen.keys() & set(layer.modules()):
            quantizer.calibrated.fill_(False)

    def _prepare(self, layer: nn.Module, node: fx.Node) -> None:
        """Find what the call needs and does not have."""
        if isinstance(layer, BatchNorm) and self.statistics and self._calls[layer] == 1:
            self._take_statistics(layer, node)
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

    def _take_statistics(self, norm: BatchNorm, node: fx.Node) -> None:
        """Mean and variance per channel over all batches, summed up per sample in float64."""
        sums: list[Tensor] = []
        squares: list[Tensor] = []
        count = 0
        for index, batch in enumerate(self.batches):
            x: Tensor = self._values(node, index)[node.all_input_nodes[0]]
            rows = x.to(torch.float64).reshape(len(batch[0]), x.shape[1], -1)
            sums.append(rows.sum(2))
            squares.append(rows.square().sum(2))
            count += len(rows) * rows.shape[2]
        untrained = not bool(norm.running_mean.any()) and bool((norm.running_var == 1).all())
        if count > 1 and (untrained or self.samples >= LEAST_SAMPLES):
            mean = torch.cat(sums).sum(0) / count
            norm.set_statistics(mean, (torch.cat(squares).sum(0) - count * mean.square()).clamp(min=0) / (count - 1))

    def _keep(self, node: fx.Node, kept: list[Values]) -> None:
        """Make the call for every batch and keep its results; forget what no later call reads."""
        for index, values in enumerate(kept):
            values[node] = self._call(node, index, values)
            self._drop(node, values)
        if sum(_bytes(value) for values in kept for value in values.values()) > self.most_bytes:
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
