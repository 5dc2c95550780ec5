"""ResNets for 3x32x32 images: ResNet-8 in the shape of MLPerf Tiny's image classification, and ResNet-20."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from qfx import nn as qnn
from qfx.models.cifar import CifarConfig

CHANNELS = (16, 32, 64)
"""Of the three stages; the stem has those of the first."""


class _Block(nn.Module):
    """act2(Add(bn2(conv2(act1(bn1(conv1(x))))), shortcut(x)))"""

    def __init__(self, config: CifarConfig, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = config.conv(inputs, outputs, 3, stride), config.norm2d(outputs)
        self.act1 = config.relu()
        self.conv2, self.bn2 = config.conv(outputs, outputs, 3), config.norm2d(outputs)
        changed = stride != 1 or inputs != outputs
        self.shortcut = config.conv(inputs, outputs, 1, stride, bias=True) if changed else nn.Identity()
        self.add = config.add(changed)
        self.act2 = config.relu()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.act2(self.add(y, self.shortcut(x)))


class _ResNet(qnn.Model):
    """A stem, three stages of `blocks` blocks, the mean over the pixels and a classifier."""

    blocks: ClassVar[int]

    def __init__(
        self, config: CifarConfig | None = None, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.config = config = config or CifarConfig()
        first, second, third = CHANNELS
        self.input = config.images(mean, std)
        self.conv, self.bn, self.act = config.conv(3, first, 3, end=True), config.norm2d(first), config.relu()
        self.stage1 = self._stage(first, first, 1)
        self.stage2 = self._stage(first, second, 2)
        self.stage3 = self._stage(second, third, 2)
        self.pool = config.pool2d(8)
        self.flatten = nn.Flatten()
        self.fc = config.classifier(third, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(self.input(x))))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(self.flatten(self.pool(x)))

    def _stage(self, inputs: int, outputs: int, stride: int) -> nn.Module:
        rest = [_Block(self.config, outputs, outputs, 1) for _ in range(self.blocks - 1)]
        return _chain(_Block(self.config, inputs, outputs, stride), *rest)


class ResNet8(_ResNet):
    """Raw uint8 images (batch, 3, 32, 32) to 10 logits; 12.5 million products an image.

    Args:
        config: widths.
        mean, std: per channel, of the images divided by 255, to normalise with; without them pixels are divided by 256.
    """

    blocks = 1


class ResNet20(_ResNet):
    """Raw uint8 images (batch, 3, 32, 32) to 10 logits; 40.8 million products an image. Where a block changes the size, its
    shortcut is a 1x1 convolution.

    Args:
        config: widths.
        mean, std: per channel, of the images divided by 255, to normalise with; without them pixels are divided by 256.
    """

    blocks = 3


def _chain(*blocks: nn.Module) -> nn.Module:
    return blocks[0] if len(blocks) == 1 else nn.Sequential(*blocks)


class _FloatBlock(nn.Module):
    """`_Block` in plain torch."""

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


class _FloatResNet(nn.Module):
    """`_ResNet` in plain torch."""

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
        rest = [_FloatBlock(outputs, outputs, 1) for _ in range(self.blocks - 1)]
        return _chain(_FloatBlock(inputs, outputs, stride), *rest)


class FloatResNet8(_FloatResNet):
    """`ResNet8` in plain torch: normalised images (batch, 3, 32, 32) to 10 logits. Layers have the same names."""

    blocks = 1


class FloatResNet20(_FloatResNet):
    """`ResNet20` in plain torch: normalised images (batch, 3, 32, 32) to 10 logits. Layers have the same names."""

    blocks = 3
