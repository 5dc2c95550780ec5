"""Where values enter a format: Quantize (a Requantize by itself) and QuantInput (raw integer inputs)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qfx.checks import argument, instance, number
from qfx.errors import InputError, QuantizationError
from qfx.exact import FLOAT32_BITS, FLOAT32_FRAC
from qfx.fixed import FixedType
from qfx.frontend.leaf import InputLeaf
from qfx.frontend.scope import Scope
from qfx.ir import Value
from qfx.nn._evaluation import Constants
from qfx.nn.layer import Layer, lower_affine, lower_cast
from qfx.quant import Quantizer, QuantSpec
from qfx.quant.normalize import per_channel
from qfx.quant.tracing import unseen

RAW = FixedType(False, 8, 0)
"""Raw 8-bit pixels, 0..255."""
_UNSIGNED = tuple(getattr(torch, name) for name in ("uint16", "uint32", "uint64") if hasattr(torch, name))
"""Which torch converts, but does not compare."""
DEFAULT_CONSTANT = QuantSpec(8, learn=False)
DEFAULT_OUTPUT = QuantSpec.activations(8, signed=True)


class InputLayer(Layer, InputLeaf):
    """A layer that may stand at the model's input and gives it a format."""

    def encode(self, codes: npt.NDArray[np.integer]) -> Tensor:
        """What torch is fed for integer input codes."""
        type = self.input_type()
        return torch.from_numpy(type.to_real(codes)).to(torch.float32 if type.width <= FLOAT32_BITS else torch.float64)


class Quantize(InputLayer):
    """A Requantize by itself. At the model's input it says in which format the (real-valued) input comes.

    Values: `.quant` after the cast.

    Args:
        output: format of the result; at the input its binary point has to be given.

    Shapes: any -> the same.
    """

    def __init__(self, output: QuantSpec) -> None:
        super().__init__()
        self.quant = Quantizer(output)

    def forward(self, x: Tensor) -> Tensor:
        return self.emit(self.cast(".quant", self.quant, x))

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        return lower_cast(scope, ".quant", self.quant, inputs[0])

    def input_type(self) -> FixedType:
        if self.quant.spec.frac is None:
            raise QuantizationError("a Quantize at the model's input needs QuantSpec(frac=...): the format in which inputs come")
        return self.quant.fixed_type()


class QuantInput(InputLayer):
    """Raw integer inputs, such as uint8 pixels, normalised and quantized inside the model.

        result = ((x / full_scale) - mean) / std, as scale[c] * x + offset[c] with fixed-point constants

    Values: `.norm`, the exact affine result; `.quant` after the cast. The input itself is the graph's input. Without mean and
    std the codes are only given a binary point, `type.frac`.

    Args:
        mean, std: per channel, in units of `full_scale`, as torchvision has them; both or neither.
        full_scale: raw value that counts as 1.
        type: format of the raw input; with mean and std its frac counts, too (usually 0).
        scale, offset: formats of the constants; the scale may be K-hot.
        output: format of the result; the default is 8 bits signed after a normalisation and none without.

    Shapes: (batch, channel, ...), any dtype, integer-valued -> the same in floating point.
    """

    scale: Tensor
    offset: Tensor

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        full_scale: float = 255.0,
        type: FixedType = RAW,
        *,
        scale: QuantSpec = DEFAULT_CONSTANT,
        offset: QuantSpec = DEFAULT_CONSTANT,
        output: QuantSpec | None = DEFAULT_OUTPUT,
    ) -> None:
        super().__init__()
        self.raw = argument("QuantInput", "type", type, instance(FixedType), QuantizationError)
        full_scale = argument("QuantInput", "full_scale", full_scale, number(), QuantizationError)
        self.normalises = mean is not None
        if (mean is None) != (std is None) or (mean is not None and std is not None and len(mean) != len(std)):
            raise QuantizationError("QuantInput wants mean and std with one entry per channel each, or neither")
        if mean is not None and std is not None:
            for name, given in (("mean", mean), ("std", std)):
                for entry in given:
                    argument("QuantInput", name, entry, number(), QuantizationError)
            if min(std) <= 0 or full_scale <= 0:
                raise QuantizationError(f"QuantInput: std {list(std)} and full_scale {full_scale} have to be positive")
            deviation = torch.tensor(std, dtype=torch.float64)
            self.register_buffer("scale", (1.0 / (full_scale * deviation)).to(torch.float32))
            self.register_buffer("offset", (-torch.tensor(mean, dtype=torch.float64) / deviation).to(torch.float32))
            self.scale_quant = Quantizer(scale, len(mean))
            self.offset_quant = Quantizer(offset, len(mean))
        elif output is DEFAULT_OUTPUT:
            output = None
        self.quant = None if output is None else Quantizer(output)

    def forward(self, x: Tensor) -> Tensor:
        if self.exact:
            with unseen():
                self._check(x)
        wide = self.exact and (self.raw.width > FLOAT32_BITS or abs(self.raw.frac) > FLOAT32_FRAC)
        real = torch.float64 if wide or x.dtype == torch.float64 else torch.float32
        x = x.to(real) * 2.0**-self.raw.frac
        if self.normalises:
            scale, offset = self.kept_constants()
            assert scale is not None and offset is not None
            x = self.tap(".norm", self.to_accumulator(".norm", x) * per_channel(scale, x) + per_channel(offset, x))
        return self.emit(self.cast(".quant", self.quant, x))

    def constants(self) -> Constants:
        scale, offset = self.scale_quant(self.scale), self.offset_quant(self.offset)
        return self.to_accumulator(".norm", scale), self.to_accumulator(".norm", offset)

    def _check(self, x: Tensor) -> None:
        if x.dtype == torch.uint8 and self.raw.min_int <= 0 and self.raw.max_int >= 255:
            return
        x = x.to(torch.float64) if x.dtype in _UNSIGNED else x
        low, high = (float(bound) for bound in torch.aminmax(x)) if x.numel() else (0.0, 0.0)
        if low < self.raw.min_int or high > self.raw.max_int or (x.is_floating_point() and bool((x != x.floor()).any())):
            raise InputError(
                f"the input holds values from {low:g} to {high:g}; the model wants raw integers of {self.raw.ap_name}, "
                f"{self.raw.min_int}..{self.raw.max_int} (normalisation is part of the model)"
            )

    def lower(self, scope: Scope, *inputs: Value) -> Value:
        (x,) = inputs
        if self.normalises:
            x = lower_affine(scope, ".norm", x, (self.scale_quant, self.scale), (self.offset_quant, self.offset))
        return lower_cast(scope, ".quant", self.quant, x)

    def input_type(self) -> FixedType:
        return self.raw

    def format_codes(self) -> list[int]:
        return [self.raw.width, int(self.raw.signed), self.raw.frac]

    @staticmethod
    def format_text(codes: Sequence[int]) -> str:
        width, signed, frac = codes
        return f"raw integers of {FixedType(bool(signed), width, frac).ap_name}"

    def encode(self, codes: npt.NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(codes.astype(np.float32 if self.raw.width <= FLOAT32_BITS else np.float64))
