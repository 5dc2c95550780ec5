"""A small residual network for the 8x8 digits that ship with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from qfx import nn as qnn
from qfx.quant import QuantSpec


@dataclass(frozen=True)
class DigitsConfig:
    """Widths of every kind of value, and the size of the network.

    Attributes:
        weights, activations: bits inside the network.
        ends: weight bits of the first convolution and the classifier.
        norm: bits of batch-normalisation scales and offsets, of slopes and of biases.
        pool: bits after pooling.
        input: bits of the normalised input.
        weights_k_hot: digits of a weight; None for all codes.
        norm_k_hot: digits of a scale or slope, those of the input normalisation included; None for all codes.
        learn: whether training moves the binary points.
        channels: of the two stages.

    The casts before an Add and before a PReLU have one bit more than the activations and are signed.
    """

    weights: int = 4
    activations: int = 4
    ends: int = 8
    norm: int = 8
    pool: int = 8
    input: int = 8
    weights_k_hot: int | None = None
    norm_k_hot: int | None = None
    learn: bool = True
    channels: tuple[int, int] = (16, 32)

    @classmethod
    def bits(cls, bits: int, learn: bool = True) -> DigitsConfig:
        """What "b bits" means: weights and activations b, the ends, constants, pool and input 8."""
        return cls(weights=bits, activations=bits, learn=learn)

    @classmethod
    def multiplier_free(cls) -> DigitsConfig:
        """6-bit 2-hot weights everywhere, 8-bit 2-hot scales and slopes, 4-bit activations."""
        return cls(weights=6, activations=4, ends=6, weights_k_hot=2, norm_k_hot=2)

    def weight_spec(self, width: int) -> QuantSpec:
        """Of a convolution or the classifier."""
        return QuantSpec(width, learn=self.learn, k_hot=self.weights_k_hot)

    def scale_spec(self) -> QuantSpec:
        """Of scales and slopes."""
        return QuantSpec(self.norm, learn=self.learn, k_hot=self.norm_k_hot)

    def offset_spec(self) -> QuantSpec:
        """Of offsets and biases."""
        return QuantSpec(self.norm, learn=self.learn)

    def activation_spec(self, extra: int = 0) -> QuantSpec:
        """Of activations; signed, since a PReLU passes negative values."""
        return QuantSpec(self.activations + extra, learn=self.learn)

    def signed_spec(self, width: int) -> QuantSpec:
        """Of the input and the pooled values."""
        return QuantSpec(width, learn=self.learn)


class _Block(nn.Module):
    """Two convolutions and a shortcut: PReLU(Add(bn2(conv2(act1(bn1(conv1(x))))), shortcut(x)))."""

    def __init__(self, config: DigitsConfig, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(config, inputs, outputs, 3, stride), _norm(config, outputs)
        self.act1 = _prelu(config, outputs, pre=True)
        self.conv2, self.bn2 = _conv(config, outputs, outputs, 3, 1), _norm(config, outputs)
        changed = stride != 1 or inputs != outputs
        shortcut: Sequence[nn.Module] = (_conv(config, inputs, outputs, 1, stride), _norm(config, outputs)) if changed else ()
        self.shortcut = nn.Sequential(*shortcut)
        branch = config.activation_spec(1)
        self.add = qnn.Add(branch, branch if changed else None)
        self.act2 = _prelu(config, outputs, pre=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.act2(self.add(y, self.shortcut(x)))


class DigitsNet(qnn.Model):
    """Raw uint8 digits (batch, 1, 8, 8), 0..16, to 10 logits.

    Args:
        config: widths and size.
        mean, std: of the training images divided by 16.
    """

    def __init__(self, config: DigitsConfig | None = None, mean: float = 0.305, std: float = 0.376) -> None:
        super().__init__()
        self.config = config = config or DigitsConfig()
        first, second = config.channels
        constant = QuantSpec(config.norm, learn=False)
        scale = QuantSpec(config.norm, learn=False, k_hot=config.norm_k_hot)
        quant = config.signed_spec(config.input)
        self.input = qnn.QuantInput((mean,), (std,), 16.0, scale=scale, offset=constant, output=quant)
        self.conv, self.bn = _conv(config, 1, first, 3, 1, config.ends), _norm(config, first)
        self.act = _prelu(config, first, pre=True)
        self.block1 = _Block(config, first, first, 1)
        self.block2 = _Block(config, first, second, 2)
        self.pool = qnn.AdaptiveAvgPool2d(1, output=config.signed_spec(config.pool))
        self.flatten = nn.Flatten()
        head = config.weight_spec(config.ends)
        self.fc = qnn.Linear(second, 10, config.offset_spec(), weight=head)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(self.input(x))))
        x = self.block2(self.block1(x))
        return self.fc(self.flatten(self.pool(x)))


def _conv(config: DigitsConfig, inputs: int, outputs: int, kernel: int, stride: int, width: int | None = None) -> qnn.Conv2d:
    spec = config.weight_spec(width or config.weights)
    return qnn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False, weight=spec)


def _norm(config: DigitsConfig, channels: int) -> qnn.BatchNorm2d:
    return qnn.BatchNorm2d(channels, scale=config.scale_spec(), offset=config.offset_spec())


def _prelu(config: DigitsConfig, channels: int, pre: bool) -> qnn.PReLU:
    before = config.activation_spec(1) if pre else None  # the result of an Add is narrow already
    return qnn.PReLU(channels, slope=config.scale_spec(), input=before, output=config.activation_spec())
