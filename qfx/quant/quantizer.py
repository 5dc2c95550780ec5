"""The quantizer module: a number format with a learnable binary point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor, nn

from qfx.annotations import explained, explained_init
from qfx.checks import argument, instance
from qfx.errors import QuantizationError
from qfx.exact import FLOAT32_BITS
from qfx.fixed import FixedType, IntArray
from qfx.quant.cast import FixedPointCast, integer_frac, merges_relu
from qfx.quant.search import best_frac
from qfx.quant.spec import QuantSpec
from qfx.quant.stated import Stated, spec_codes, spec_of, spec_text
from qfx.quant.tracing import cannot_follow, check_followed, unseen


@explained_init
class Quantizer(Stated):
    """Casts a tensor to a fixed-point format whose binary point is a real parameter.

    The forward uses `round(frac)`, so a trained quantizer exports as it computed. Until it is calibrated a quantizer has no
    format: in training the first batch calibrates it, in eval it is an error.

    Args:
        spec: the format wanted.
        channels: of a constant, such as a weight; None for an activation.

    Attributes:
        constant: whether it casts a constant.
        frac: real binary point, a scalar or (channels,).
        calibrated: whether `frac` means anything yet.
        frozen: whether training no longer moves `frac`.
        enabled: if False, the quantizer passes floats through.
        collector: while a network is calibrated, what a quantizer without a binary point shows its input to first.
        name: module path, for messages.
    """

    calibrated: Tensor
    frozen: Tensor

    def __init__(self, spec: QuantSpec, channels: int | None = None) -> None:
        super().__init__()
        spec = argument("a quantizer", "spec", spec, instance(QuantSpec), QuantizationError)
        if spec.per_channel and channels is None:
            raise QuantizationError("a binary point per channel fits constants only; an activation has one format")
        self.spec, self.constant = spec, channels is not None
        shape = (channels,) if spec.per_channel and channels is not None else ()
        start = 0 if spec.frac is None else spec.frac
        self.frac = nn.Parameter(torch.full(shape, float(start)), requires_grad=spec.learn)
        self.register_buffer("calibrated", torch.tensor(spec.frac is not None))
        self.register_buffer("frozen", torch.tensor(False))
        self.enabled = True
        self.collector: Callable[[Quantizer, Tensor], None] | None = None
        self.name = ""
        self._flags: dict[str, tuple[Tensor, int, bool]] = {}

    def forward(self, x: Tensor, relu: bool = False, narrow: bool = False) -> Tensor:
        """x (any shape; per channel, the channel is axis 0), float32 or float64, on the grid; with `relu`, max(x, 0).

        In eval a quantizer of more than 24 bits gives float64. With `narrow` one of fewer gives float32, whatever x is.
        """
        check_followed(self.training)
        ready = self.ready
        merged = relu and ready and merges_relu(self.spec)
        x = x.relu() if relu and not merged else x
        if not self.enabled:
            return x
        if not ready:
            if self.collector is not None:
                self.collector(self, x)
            elif self.training:
                self.calibrate(x)
            self._check_calibrated()
        if not self.training and self.spec.width > FLOAT32_BITS:
            x = x.to(torch.float64)  # the ends of such a range are no float32 numbers
        return FixedPointCast.cast(x, self.point(), self.spec, merged, narrow and self.spec.width <= FLOAT32_BITS)

    def __prepare_scriptable__(self) -> NoReturn:
        """Asked for by torch.jit.script."""
        raise cannot_follow("torch.jit.script")

    @property
    def ready(self) -> bool:
        """Whether the forward casts, and does nothing else."""
        return self.enabled and self._flag("calibrated")

    @property
    def watched(self) -> bool:
        """Whether a hook wants to see the forward, so that nothing may be computed in its place."""
        hooks: list[object] = [*self._forward_hooks, *self._forward_pre_hooks]
        return bool(hooks)

    def point(self) -> Tensor:
        """The real binary point for the forward; without a gradient if training no longer moves it."""
        return self.frac if self.spec.learn and not self._flag("frozen") else self.frac.detach()

    def _flag(self, name: str) -> bool:
        """The buffer `name`, read only when it has changed: on an accelerator reading waits for all that was started."""
        buffer = cast(Tensor, self._buffers[name])
        version = -1 if buffer.is_inference() else buffer._version
        known = self._flags.get(name)
        if known is None or known[0] is not buffer or known[1] != version or version < 0:
            with unseen():
                known = self._flags[name] = (buffer, version, bool(buffer))
        return known[2]

    def calibrate(self, x: Tensor, search: Callable[[Tensor, QuantSpec], Tensor] = best_frac) -> None:
        """Set the binary point to the one that `search` finds for `x`, unless the spec gives one.

        Raises:
            QuantizationError: x is empty or not finite.
        """
        self.check(x)
        if self.spec.frac is None:
            with torch.no_grad():
                self.frac.copy_(search(x, self.spec))
        self.calibrated.fill_(True)

    def check(self, x: Tensor) -> None:
        """Whether `x` can be calibrated on.

        Raises:
            QuantizationError: x is empty or not finite.
        """
        if x.numel() == 0 or not bool(torch.isfinite(x).all()):
            raise QuantizationError(f"{self._label()} cannot be calibrated on an empty or non-finite tensor")

    def freeze(self, frac: Tensor | None = None) -> None:
        """Stop learning, at integer `frac` (default: the one in use, so that no output changes)."""
        with torch.no_grad():
            self.frac.copy_(self.fracs if frac is None else frac)
        self.frozen.fill_(True)

    @property
    def fracs(self) -> Tensor:
        """The binary points in use: int64, a scalar or (channels,)."""
        return integer_frac(self.frac)

    def fixed_type(self) -> FixedType:
        """The format of every code. Binary points per channel share the finest grid, which widens the codes.

        Raises:
            QuantizationError: not calibrated, or switched off, or its binary point is NaN or infinite.
        """
        self._check_ready()
        if not bool(torch.isfinite(self.frac).all()):
            raise QuantizationError(
                f"{self._label()} has a binary point that is NaN or infinite; train again with a lower learning rate, or load "
                "other weights"
            )
        coarsest, finest = int(self.fracs.min()), int(self.fracs.max())
        return FixedType(self.spec.signed, self.spec.width + finest - coarsest, finest)

    def codes(self, x: Tensor) -> tuple[IntArray, FixedType]:
        """The integer codes of the quantized `x` and their format: read off the output, nothing is rounded again.

        Raises:
            QuantizationError: not calibrated, switched off, or a value that is NaN or infinite.
        """
        type = self.fixed_type()
        wrong = int((~torch.isfinite(x)).sum())
        if wrong:
            raise QuantizationError(
                f"{self._label()} was given {wrong} of {x.numel()} values that are NaN or infinite; train again with a lower "
                "learning rate, or load other weights"
            )
        with torch.no_grad():
            values = self(x.to(torch.float64)).cpu().numpy()
        scaled = np.ldexp(values, type.frac)
        codes = scaled.astype(np.int64)
        if not np.array_equal(codes, scaled):
            raise QuantizationError(f"{self._label()} gave values that are off its grid 2**-{type.frac}")
        return codes, type

    def __getstate__(self) -> dict[str, Any]:
        """Without what was read of the buffers: a copy's count their changes anew."""
        return {**self.__dict__, "_flags": {}}

    def format_codes(self) -> list[int]:
        """For state dicts, see `qfx.quant.stated`."""
        return spec_codes(self.spec)

    @staticmethod
    def format_text(codes: Sequence[int]) -> str:
        """Of a quantizer's codes."""
        return spec_text(spec_of(codes))

    def extra_repr(self) -> str:
        """The format as it stands."""
        where = f"frac={self.fracs.tolist()}" if self.calibrated else "not calibrated"
        return f"{'signed' if self.spec.signed else 'unsigned'} {self.spec.width} bits, {where}"

    def _check_ready(self) -> None:
        if not self.enabled:
            raise QuantizationError(f"{self._label()} is switched off; a float model has no formats (qfx.quant.set_enabled)")
        self._check_calibrated()

    def _check_calibrated(self) -> None:
        if not self._flag("calibrated"):
            raise QuantizationError(
                f"{self._label()} is not calibrated and has no binary point; "
                "run qfx.conversion.calibrate(model, batches), train it, or give QuantSpec a frac"
            )

    def _label(self) -> str:
        return f"the quantizer {self.name!r} ({self.spec.width} bits)" if self.name else f"a quantizer of {self.spec.width} bits"


@explained
def quantizers(model: nn.Module) -> dict[str, Quantizer]:
    """Every quantizer of `model` by its path; the quantizers learn their paths, too."""
    named = cast(Iterator[tuple[str, nn.Module]], model.named_modules())
    found = {path: module for path, module in named if isinstance(module, Quantizer)}
    for path, module in found.items():
        module.name = path
    return found


@explained
def set_enabled(model: nn.Module, enabled: bool) -> None:
    """Switch all quantizers of `model`: off makes it a float model."""
    for quantizer in quantizers(model).values():
        quantizer.enabled = enabled
