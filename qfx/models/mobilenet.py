"""MobileNets: depthwise-separable blocks (V1), and inverted residuals with ReLU6 (V2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class ConvNorm(nn.Sequential):
    """Convolution, batch normalisation, and ReLU6 unless it is left out."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([nn.ReLU6(inplace=True)] if act else []))


class InvertedResidual(nn.Module):
    """Wider, depthwise, narrower without an activation; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.use_shortcut = stride == 1 and inputs == outputs
        layers: list[nn.Module] = [] if expand == 1 else [ConvNorm(inputs, hidden, 1)]
        layers += [ConvNorm(hidden, hidden, 3, stride, hidden), ConvNorm(hidden, outputs, 1, act=False)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.use_shortcut:
            return x + self.conv(x)
        return self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2.

    Args:
        blocks: (expansion, channels, count, stride) of each group of inverted residuals.
        stem, last: channels of the first and the last convolution.
        classes: of the result.

    Shapes: (batch, 3, height, width) -> (batch, classes).
    """

    def __init__(
        self,
        blocks: Sequence[tuple[int, int, int, int]] = (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ),
        stem: int = 32,
        last: int = 1280,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        features: list[nn.Module] = [ConvNorm(3, stem, 3, 2)]
        inputs = stem
        for expand, outputs, count, stride in blocks:
            for index in range(count):
                features.append(InvertedResidual(inputs, outputs, stride if index == 0 else 1, expand))
                inputs = outputs
        features.append(ConvNorm(inputs, last, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = F.adaptive_avg_pool2d(x, (1, 1)).flatten(1)
        return self.classifier(x)


class MobileNetV1(nn.Module):
    """MobileNetV1: a depthwise and a pointwise convolution per block, ReLU as a function.

    Args:
        blocks: (channels, stride) of each.
        stem: channels of the first convolution.
        classes: of the result.

    Shapes: (batch, 3, height, width) -> (batch, classes).
    """

    def __init__(self, blocks: Sequence[tuple[int, int]], stem: int = 32, classes: int = 1000) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem)
        inputs = (stem, *(outputs for outputs, _ in blocks))
        self.deep = nn.ModuleList(
            nn.Conv2d(i, i, 3, stride, 1, groups=i, bias=False) for i, (_, stride) in zip(inputs, blocks, strict=False)
        )
        self.deep_norm = nn.ModuleList(nn.BatchNorm2d(i) for i in inputs[:-1])
        self.point = nn.ModuleList(nn.Conv2d(i, o, 1, bias=False) for i, (o, _) in zip(inputs, blocks, strict=False))
        self.point_norm = nn.ModuleList(nn.BatchNorm2d(o) for o in inputs[1:])
        self.fc = nn.Linear(inputs[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem(x)))
        for deep, deep_norm, point, point_norm in zip(self.deep, self.deep_norm, self.point, self.point_norm, strict=True):
            x = F.relu(deep_norm(deep(x)), inplace=True)
            x = F.relu(point_norm(point(x)), inplace=True)
        x = x.mean([2, 3])
        return self.fc(x)
