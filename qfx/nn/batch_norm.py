"""BatchNorm1d and BatchNorm2d: a fixed-point scale and offset per channel.

    y[c] = scale[c] * x[c] + offset[c],   scale = weight / sqrt(var + eps),   offset = bias - mean * scale

Training takes mean and variance from the batch, eval from the running statistics, as torch does; scale and offset are
quantized in both, and gradients flow through the statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qfx.checks import argument, number, or_none
from qfx.errors import QuantizationError
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn._evaluation import Constants
from qfx.nn.layer import Layer, lower_affine
from qfx.quant import Quantizer, QuantSpec
from qfx.quant.normalize import NormalizeBatch, affine, per_channel
from qfx.quant.tracing import shape_of

DEFAULT_SCALE = QuantSpec.weights(8)
DEFAULT_OFFSET = QuantSpec.weights(8)


class BatchNorm(Layer):
    """Both batch normalisations; see `BatchNorm2d` for values and arguments."""

    dims: tuple[int, ...]
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        scale: QuantSpec = DEFAULT_SCALE,
        offset: QuantSpec = DEFAULT_OFFSET,
    ) -> None:
        super().__init__()
        if not track_running_stats:
            raise QuantizationError("without running statistics there is no fixed scale; leave track_running_stats on")
        self.num_features, self.eps = num_features, argument("a batch normalisation", "eps", eps, number(0), QuantizationError)
        self.momentum = argument("a batch normalisation", "momentum", momentum, or_none(number(0, 1)), QuantizationError)
        self.weight = nn.Parameter(torch.ones(num_features), requires_grad=affine)
        self.bias = nn.Parameter(torch.zeros(num_features), requires_grad=affine)
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.scale_quant = Quantizer(scale, num_features)
        self.offset_quant = Quantizer(offset, num_features)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() not in self.dims or shape_of(x)[1] != self.num_features:
            raise QuantizationError(f"{type(self).__name__}({self.num_features}) got an input of shape {tuple(x.shape)}")
        if self.training and all(cast.ready and not cast.watched for cast in (self.scale_quant, self.offset_quant)):
            return self.emit(self.tap("", self._train(x)))
        scale, offset = self._quantized(*self._batch_statistics(x)) if self.training else self.kept_constants()
        assert scale is not None and offset is not None
        return self.emit(self.tap("", affine(x, scale, offset)))

    def constants(self) -> Constants:
        return self._quantized(self.running_mean, self.running_var)

    def _quantized(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and offset for these statistics."""
        scale, offset = self.affine(mean, var)
        return self.to_accumulator("", self.scale_quant(scale)), self.to_accumulator("", self.offset_quant(offset))

    def _train(self, x: Tensor) -> Tensor:
        """The result in training with both casts on, in one step."""
        self._check_count(x)
        y, mean, var = NormalizeBatch.of(x, self.weight, self.bias, self.eps, self.scale_quant, self.offset_quant)
        self._track(mean, var, x.numel() // self.num_features)
        return y

    def affine(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and offset for these statistics, before quantization."""
        scale = self.weight * torch.rsqrt(var + self.eps)
        return scale, self.bias - mean * scale

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check_count(x)
        dims = (0, *range(2, x.dim()))
        mean = x.mean(dims)
        var = (x - per_channel(mean, x)).square().mean(dims)  # faster here than var_mean with its backward
        self._track(mean, var, x.numel() // self.num_features)
        return mean, var

    def _check_count(self, x: Tensor) -> None:
        if x.numel() // self.num_features < 2:
            raise QuantizationError("batch normalisation needs more than one value per channel to train")

    def _track(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the running statistics towards those of the batch, of `count` values per channel."""
        with torch.no_grad():
            self.num_batches_tracked += 1
            kept = self.running_mean.dtype
            weight = self.num_batches_tracked.to(kept).reciprocal() if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.to(kept), weight)
            self.running_var.lerp_((var * (count / (count - 1))).to(kept), weight)

    @property
    def untrained(self) -> bool:
        """Whether the running statistics are those of a new layer."""
        return not bool(self.running_mean.any()) and bool((self.running_var == 1).all())

    def set_statistics(self, mean: Tensor, var: Tensor) -> None:
        """Take these as running mean and unbiased variance, (num_features,) each."""
        with torch.no_grad():
            self.running_mean.copy_(mean)
            self.running_var.copy_(var)

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        with torch.no_grad():
            scale, offset = self.affine(self.running_mean, self.running_var)
        return lower_affine(scope, "", x, (self.scale_quant, scale), (self.offset_quant, offset))

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm2d(BatchNorm):
    """`torch.nn.BatchNorm2d` as a fixed-point scale and offset per channel.

    Values: the exact affine result under the layer's path.

    Args:
        momentum: weight of the newest batch in the running statistics; None for their plain average.
        affine: whether weight and bias are learned.
        track_running_stats: only True; eval needs them.
        scale: format of the scales (num_features,); may be K-hot.
        offset: format of the offsets (num_features,).

    Shapes: (batch, num_features, height, width) -> the same.
    """

    dims = (4,)


class BatchNorm1d(BatchNorm):
    """`torch.nn.BatchNorm1d`, otherwise as `BatchNorm2d`.

    Shapes: (batch, num_features) or (batch, num_features, length) -> the same.
    """

    dims = (2, 3)
