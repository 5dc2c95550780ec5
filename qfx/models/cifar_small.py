"""A small plain network for 3x32x32 images: three convolutions, as peers' examples have it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from qfx import nn as qnn
from qfx.models.cifar import CifarConfig

CHANNELS = (16, 32, 64)


class CifarSmall(qnn.Model):
    """Raw uint8 images (batch, 3, 32, 32) to 10 logits.

    Args:
        config: widths.
        mean, std: per channel, of the images divided by 255, to normalise with; without them pixels are divided by 256.
    """

    def __init__(
        self, config: CifarConfig | None = None, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.config = config = config or CifarConfig()
        first, second, third = CHANNELS
        self.input = config.images(mean, std)
        self.conv1, self.bn1, self.act1 = config.conv(3, first, 3, end=True), config.norm2d(first), config.relu()
        self.pool1 = qnn.MaxPool2d(2)
        self.conv2, self.bn2, self.act2 = config.conv(first, second, 3), config.norm2d(second), config.relu()
        self.pool2 = qnn.MaxPool2d(2)
        self.conv3, self.bn3, self.act3 = config.conv(second, third, 3), config.norm2d(third), config.relu()
        self.pool = config.pool2d(8)
        self.flatten = nn.Flatten()
        self.fc = config.classifier(third, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.act1(self.bn1(self.conv1(self.input(x)))))
        x = self.pool2(self.act2(self.bn2(self.conv2(x))))
        x = self.act3(self.bn3(self.conv3(x)))
        return self.fc(self.flatten(self.pool(x)))


class FloatCifarSmall(nn.Module):
    """The same network in plain torch: normalised images (batch, 3, 32, 32) to 10 logits. Layers have the same names."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = CHANNELS
        self.conv1, self.bn1, self.act1 = nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2, self.bn2, self.act2 = nn.Conv2d(first, second, 3, padding=1, bias=False), nn.BatchNorm2d(second), nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.conv3, self.bn3, self.act3 = nn.Conv2d(second, third, 3, padding=1, bias=False), nn.BatchNorm2d(third), nn.ReLU()
        self.pool = nn.AvgPool2d(8)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(third, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.act1(self.bn1(self.conv1(x))))
        x = self.pool2(self.act2(self.bn2(self.conv2(x))))
        x = self.act3(self.bn3(self.conv3(x)))
        return self.fc(self.flatten(self.pool(x)))
