"""The steps of eval between a convolution and the next, taken together where nobody looks in between.

A batch normalisation whose only consumer begins with a cast may hand over its operand with scale and offset, a `Deferred`. The
consumer computes

    Q(max(scale[c] * x + offset[c], 0))        max only in a ReLU

block by block in float64, which holds every step that float32 holds, and writes float32. Arithmetic and result are those of the
separate steps; what is saved are float64 tensors in memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from qfx.nn.batch_statistics import affine
from qfx.nn.layer import per_channel
from qfx.quant import Quantizer, kernel
from qfx.quant.cast import compute

BLOCK = 1 << 16
"""Elements, about, that stay in the cache while torch computes the steps one after the other."""


@dataclass(frozen=True)
class Deferred:
    """scale[c] * x + offset[c], not computed yet.

    Attributes:
        x: (batch, channel, ...), float32.
        scale, offset: (channel,), float64.
    """

    x: Tensor
    scale: Tensor
    offset: Tensor

    def value(self) -> Tensor:
        """The step by itself, in float64."""
        return affine(self.x, self.scale, self.offset)

    def cast(self, quantizer: Quantizer, relu: bool) -> Tensor:
        """The quantized value, float32; the quantizer has at most 24 bits."""
        x, spec, point = self.x.contiguous(), quantizer.spec, quantizer.point().to(torch.float64)
        if kernel.serves(x) and kernel.serves_spec(spec):
            return kernel.affine_cast(x, self.scale, self.offset, point, spec, relu)
        result = torch.empty_like(x)
        scale, offset = per_channel(self.scale, x), per_channel(self.offset, x)
        step = max(1, BLOCK // max(1, math.prod(x.shape[1:])))
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            wide = (x[part] * scale).add_(offset)
            result[part] = compute(wide.relu_() if relu else wide, point, spec)[0]
        return result
