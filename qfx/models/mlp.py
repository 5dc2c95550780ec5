"""A multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F


class MLP(nn.Module):
    """Linear layers with batch normalisation, ReLU and dropout as functions.

    Args:
        sizes: features of the input, of the hidden layers, of the result.

    Shapes: (batch, ...), flattened -> (batch, sizes[-1]).
    """

    def __init__(self, sizes: Sequence[int] = (784, 256, 128, 10)) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[1:-1])

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(x.shape[0], -1)
        for linear, norm in zip(self.linears, self.norms, strict=False):
            x = F.relu(norm(linear(x)))
            x = F.dropout(x, 0.1, training=self.training)
        return self.linears[-1](x)
