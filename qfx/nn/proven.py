"""A model's proof, what it rests on, and what may be kept while it stands.

In eval the quantized constants of a layer are the same at every forward, as long as nothing has changed that the proof rests on:
shapes, formats, and every parameter and buffer. On the CPU their bytes are compared with a copy at each forward, which finds every
change, those through `.data` and NumPy included, and costs less than quantizing anew. Elsewhere torch's version counters tell,
which such changes pass by, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from qfx.ir.proof import Proof
from qfx.quant import kernel

Constants = tuple[Tensor | None, ...]

current: ContextVar[Proven | None] = ContextVar("the proof of the model whose forward runs; None where none holds", default=None)


class Proven:
    """The proof of one model.

    Args:
        proofs: of every step.
        key: shapes and formats that it holds for.
        tensors: every parameter and buffer.
        layers: those of the model.

    Attributes:
        proofs: as given.
    """

    def __init__(self, proofs: dict[str, Proof], key: object, tensors: Sequence[Tensor], layers: dict[nn.Module, object]) -> None:
        self.proofs = proofs
        self._key, self._layers, self._values = key, layers, Snapshot(tensors)
        self._constants: dict[nn.Module, Constants] = {}

    def holds(self, key: object, tensors: Sequence[Tensor], layers: dict[nn.Module, object]) -> bool:
        """Whether nothing has changed; `layers` have the carriers that this proof gave them, and no other model's."""
        own = self._layers
        same = key == self._key and layers.keys() == own.keys() and all(own[layer] is layers[layer] for layer in own)
        return same and self._values.same(tensors)

    def constants(self, layer: nn.Module) -> Constants | None:
        """What `keep` was given."""
        return self._constants.get(layer)

    def keep(self, layer: nn.Module, constants: Constants) -> None:
        """Keep the constants of a layer of this model."""
        if self._values.comparable and layer in self._layers:
            self._constants[layer] = constants


class Snapshot:
    """The values of some tensors at one time.

    Attributes:
        comparable: whether changes of every kind are found; else those that torch counts.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.comparable = all(tensor.device.type == "cpu" and kernel.dense(tensor) is tensor for tensor in tensors)
        self._places = _places(tensors)
        self._versions = [] if self.comparable else _versions(tensors)
        self._copies = [tensor.detach().clone() for tensor in tensors] if self.comparable else []
        columns = [(address, copy.data_ptr(), size) for (address, size), copy in zip(self._places, self._copies, strict=False)]
        self._table = torch.tensor(columns, dtype=torch.int64).reshape(-1, 3).t().contiguous()

    def same(self, tensors: Sequence[Tensor]) -> bool:
        """Whether `tensors` are the same, with the same values."""
        if _places(tensors) != self._places:
            return False
        if not self.comparable:
            return _versions(tensors) == self._versions
        if kernel.library() is not None:
            return kernel.same_bytes(*self._table)
        return all(map(torch.equal, tensors, self._copies))


def _places(tensors: Sequence[Tensor]) -> list[tuple[int, int]]:
    """Address and bytes."""
    return [(tensor.data_ptr(), tensor.nbytes) for tensor in tensors]


def _versions(tensors: Sequence[Tensor]) -> list[int]:
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]
