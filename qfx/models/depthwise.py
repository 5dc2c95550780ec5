"""A small network of depthwise-separable convolutions for 3x32x32 images, as MobileNet has them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from qfx import nn as qnn
from qfx.models.cifar import CifarConfig

STEM = 16
BLOCKS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1))
"""Output channels and stride of each block."""


class _Block(nn.Module):
    """act2(bn2(point(act1(bn1(deep(x)))))): a kernel per channel, then a sum over channels per pixel."""

    def __init__(self, config: CifarConfig, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.deep = config.conv(inputs, inputs, 3, stride, groups=inputs)
        self.bn1, self.act1 = config.norm2d(inputs), config.relu()
        self.point = config.conv(inputs, outputs, 1)
        self.bn2, self.act2 = config.norm2d(outputs), config.relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.act2(self.bn2(self.point(self.act1(self.bn1(self.deep(x))))))


class DepthwiseSmall(qnn.Model):
    """Raw uint8 images (batch, 3, 32, 32) to 10 logits; 4.6 million products an image.

    Args:
        config: widths.
        mean, std: per channel, of the images divided by 255, to normalise with; without them pixels are divided by 256.
    """

    def __init__(
        self, config: CifarConfig | None = None, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.config = config = config or CifarConfig()
        self.input = config.images(mean, std)
        self.conv, self.bn, self.act = config.conv(3, STEM, 3, end=True), config.norm2d(STEM), config.relu()
        inputs = (STEM, *(outputs for outputs, _ in BLOCKS))
        self.blocks = nn.Sequential(*(_Block(config, i, o, s) for i, (o, s) in zip(inputs, BLOCKS, strict=False)))
        self.pool = config.pool2d(8)
        self.flatten = nn.Flatten()
        self.fc = config.classifier(inputs[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(self.input(x))))
        return self.fc(self.flatten(self.pool(self.blocks(x))))


class _FloatBlock(nn.Module):
    """`_Block` in plain torch."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.deep = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.bn1, self.act1 = nn.BatchNorm2d(inputs), nn.ReLU()
        self.point = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2, self.act2 = nn.BatchNorm2d(outputs), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act2(self.bn2(self.point(self.act1(self.bn1(self.deep(x))))))


class FloatDepthwiseSmall(nn.Module):
    """`DepthwiseSmall` in plain torch: normalised images (batch, 3, 32, 32) to 10 logits. Layers have the same names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.act = nn.Conv2d(3, STEM, 3, 1, 1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU()
        inputs = (STEM, *(outputs for outputs, _ in BLOCKS))
        self.blocks = nn.Sequential(*(_FloatBlock(i, o, s) for i, (o, s) in zip(inputs, BLOCKS, strict=False)))
        self.pool = nn.AvgPool2d(8)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(inputs[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(x)))
        return self.fc(self.flatten(self.pool(self.blocks(x))))
