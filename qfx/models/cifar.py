"""What the networks for 3x32x32 images have in common: widths of every kind of value, and their layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qfx import nn as qnn
from qfx.fixed import FixedType
from qfx.quant import QuantSpec


@dataclass(frozen=True)
class CifarConfig:
    """Widths of every kind of value.

    Attributes:
        weights, activations: bits inside the network; activations are unsigned, behind a ReLU.
        ends: weight bits of the first convolution and the classifier.
        norm: bits of batch-normalisation scales and offsets, and of biases.
        pool: bits after average pooling.
        input: bits of the normalised input.
        weights_k_hot: digits of a weight; None for all codes.
        norm_k_hot: digits of a scale, those of the input normalisation included; None for all codes.
        learn: whether training moves the binary points.

    The casts before an Add have one bit more than the activations and are signed.
    """

    weights: int = 8
    activations: int = 8
    ends: int = 8
    norm: int = 8
    pool: int = 8
    input: int = 8
    weights_k_hot: int | None = None
    norm_k_hot: int | None = None
    learn: bool = True

    @classmethod
    def bits(cls, bits: int, learn: bool = True) -> CifarConfig:
        """What "b bits" means: weights and activations b, the ends, constants, pool and input 8."""
        return cls(weights=bits, activations=bits, learn=learn)

    def images(self, mean: Sequence[float] | None, std: Sequence[float] | None) -> qnn.QuantInput:
        """The input: uint8 pixels, normalised; without mean and std they are taken as fractions of 256."""
        if mean is None and std is None:
            return qnn.QuantInput(type=FixedType(False, 8, 8))
        scale = QuantSpec(self.norm, learn=False, k_hot=self.norm_k_hot)
        offset, quant = QuantSpec(self.norm, learn=False), QuantSpec(self.input, learn=self.learn)
        return qnn.QuantInput(mean, std, scale=scale, offset=offset, output=quant)

    def conv(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, end: bool = False, bias: bool = False
    ) -> qnn.Conv2d:
        """A convolution that keeps the size, divided by the stride."""
        spec, offset = self.weight_spec(self.ends if end else self.weights), self.offset_spec()
        return qnn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias and offset, weight=spec)

    def norm2d(self, channels: int) -> qnn.BatchNorm2d:
        """Batch normalisation of a feature map."""
        scale = QuantSpec(self.norm, learn=self.learn, k_hot=self.norm_k_hot)
        return qnn.BatchNorm2d(channels, scale=scale, offset=self.offset_spec())

    def relu(self) -> qnn.ReLU:
        """A ReLU with its unsigned result."""
        return qnn.ReLU(output=QuantSpec(self.activations, signed=False, learn=self.learn))

    def add(self, other: bool) -> qnn.Add:
        """The sum with a shortcut; `other`: whether the shortcut needs a cast, too."""
        branch = QuantSpec(self.activations + 1, learn=self.learn)
        return qnn.Add(branch, branch if other else None)

    def pool2d(self, kernel: int) -> qnn.AvgPool2d:
        """Average pooling of activations."""
        return qnn.AvgPool2d(kernel, output=QuantSpec(self.pool, signed=False, learn=self.learn))

    def classifier(self, features: int, classes: int) -> qnn.Linear:
        """The last layer."""
        return qnn.Linear(features, classes, self.offset_spec(), weight=self.weight_spec(self.ends))

    def weight_spec(self, width: int) -> QuantSpec:
        """Of a convolution or the classifier."""
        return QuantSpec(width, learn=self.learn, k_hot=self.weights_k_hot)

    def offset_spec(self) -> QuantSpec:
        """Of offsets and biases."""
        return QuantSpec(self.norm, learn=self.learn)
