"""A small residual network for the 8x8 digits that ship with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class _PReLUBlock(nn.Module):
    """act2(bn2(conv2(act1(bn1(conv1(x))))) + shortcut(x)), each activation a PReLU with a slope per channel."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.act1 = nn.PReLU(outputs)
        self.conv2, self.bn2 = _conv(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs)
        changed = stride != 1 or inputs != outputs
        shortcut: Sequence[nn.Module] = (_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)) if changed else ()
        self.shortcut = nn.Sequential(*shortcut)
        self.act2 = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.act2(y + self.shortcut(x))


class DigitsNet(nn.Module):
    """A stem, two residual blocks, the mean over the pixels and a classifier.

    Args:
        channels: of the two blocks; the stem has those of the first.

    Shapes: (batch, 1, 8, 8), normalised -> (batch, 10).
    """

    def __init__(self, channels: tuple[int, int] = (16, 32)) -> None:
        super().__init__()
        first, second = channels
        self.conv, self.bn = _conv(1, first, 3, 1), nn.BatchNorm2d(first)
        self.act = nn.PReLU(first)
        self.block1 = _PReLUBlock(first, first, 1)
        self.block2 = _PReLUBlock(first, second, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(second, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(x)))
        x = self.block2(self.block1(x))
        return self.fc(self.flatten(self.pool(x)))


def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
