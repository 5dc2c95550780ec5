"""Whether some tensors still hold the values they held.

On the CPU their bytes are compared with a copy, which finds every change, those through `.data` and NumPy included, and costs less
than quantizing them anew. Elsewhere torch's version counters tell, which such changes pass by.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qfx.quant import kernel


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
        self._table = torch.tensor(columns, dtype=torch.int64, device="cpu").reshape(-1, 3).t().contiguous()

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
