"""A float VGG-style network and a multi-layer perceptron, in plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F


class PlainVGG(nn.Module):
    """3x3 convolutions with a bias, batch normalisation, ReLU; pools; two linear layers with dropout between them.

    Args:
        layers: channels of the convolutions, "M" for a maximum pool.
        hidden: features between the linear layers.
        classes: of the result.

    Shapes: (batch, 3, height, width) -> (batch, classes).
    """

    def __init__(
        self, layers: Sequence[int | str] = (64, "M", 128, "M", 256, 256, "M"), hidden: int = 512, classes: int = 10
    ) -> None:
        super().__init__()
        features: list[nn.Module] = []
        inputs = 3
        for entry in layers:
            if isinstance(entry, str):
                features.append(nn.MaxPool2d(2, 2))
            else:
                features += [nn.Conv2d(inputs, entry, 3, padding=1), nn.BatchNorm2d(entry), nn.ReLU(inplace=True)]
                inputs = entry
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(inputs * 4, hidden), nn.ReLU(True), nn.Dropout(), nn.Linear(hidden, classes), nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        x = x.view(x.size(0), -1)
        return self.classifier(x)


class PlainMLP(nn.Module):
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
