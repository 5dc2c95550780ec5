"""A small network of depthwise-separable convolutions for 3x32x32 images, as MobileNet has them."""

from __future__ import annotations

from torch import Tensor, nn

STEM = 16
BLOCKS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1))
"""Output channels and stride of each block."""


class _SeparableBlock(nn.Module):
    """act2(bn2(point(act1(bn1(deep(x)))))): a kernel per channel, then a sum over channels per pixel."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.deep = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.bn1, self.act1 = nn.BatchNorm2d(inputs), nn.ReLU()
        self.point = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2, self.act2 = nn.BatchNorm2d(outputs), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act2(self.bn2(self.point(self.act1(self.bn1(self.deep(x))))))


class DepthwiseSmall(nn.Module):
    """A stem, five depthwise-separable blocks, the mean over the pixels and a classifier; 4.6 million products an image.

    Shapes: (batch, 3, 32, 32), normalised -> (batch, 10).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.act = nn.Conv2d(3, STEM, 3, 1, 1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU()
        inputs = (STEM, *(outputs for outputs, _ in BLOCKS))
        self.blocks = nn.Sequential(*(_SeparableBlock(i, o, s) for i, (o, s) in zip(inputs, BLOCKS, strict=False)))
        self.pool = nn.AvgPool2d(8)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(inputs[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(x)))
        return self.fc(self.flatten(self.pool(self.blocks(x))))
