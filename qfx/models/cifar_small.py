"""A small network without branches for 3x32x32 images: three convolutions, as peers' examples have it."""

from __future__ import annotations

from torch import Tensor, nn

CHANNELS = (16, 32, 64)


class CifarSmall(nn.Module):
    """Three convolutions, each with batch normalisation and ReLU; pools between them.

    Shapes: (batch, 3, 32, 32), normalised -> (batch, 10).
    """

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
