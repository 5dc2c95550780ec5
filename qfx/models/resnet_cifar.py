"""ResNets for 3x32x32 images: ResNet-8 in the shape of MLPerf Tiny's image classification, and ResNet-20."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

CHANNELS = (16, 32, 64)
"""Of the three stages; the stem has those of the first."""


class _ReLUBlock(nn.Module):
    """act2(bn2(conv2(act1(bn1(conv1(x))))) + shortcut(x))"""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.act1 = nn.ReLU()
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        changed = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if changed else None
        self.act2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.act2(y + (x if self.shortcut is None else self.shortcut(x)))


class _ResNet(nn.Module):
    """A stem, three stages of `blocks` blocks, the mean over the pixels and a classifier."""

    blocks: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        first, second, third = CHANNELS
        self.conv, self.bn, self.act = nn.Conv2d(3, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        self.stage1 = self._stage(first, first, 1)
        self.stage2 = self._stage(first, second, 2)
        self.stage3 = self._stage(second, third, 2)
        self.pool = nn.AvgPool2d(8)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(third, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(self.flatten(self.pool(x)))

    def _stage(self, inputs: int, outputs: int, stride: int) -> nn.Module:
        rest = [_ReLUBlock(outputs, outputs, 1) for _ in range(self.blocks - 1)]  # made first: the order in which weights are drawn
        first = _ReLUBlock(inputs, outputs, stride)
        return nn.Sequential(first, *rest) if rest else first


class ResNet8(_ResNet):
    """12.5 million products an image.

    Shapes: (batch, 3, 32, 32), normalised -> (batch, 10).
    """

    blocks = 1


class ResNet20(_ResNet):
    """40.8 million products an image. Where a block changes the size, its shortcut is a 1x1 convolution.

    Shapes: (batch, 3, 32, 32), normalised -> (batch, 10).
    """

    blocks = 3
