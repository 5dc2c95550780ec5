"""A VGG-style network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class VGG(nn.Module):
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
