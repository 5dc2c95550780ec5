"""Training in phases: from wider codes to narrower ones, from dense codes to K-hot ones.

Each phase is a `fit` with its recipe. A phase may give quantizers more bits or digits than they are to end with; the last gives
none more. Binary points move with the largest code, so that the range stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from qfx.annotations import explained
from qfx.errors import InputError
from qfx.quant import Quantizer, QuantSpec, quantizers
from qfx.quant.spec import MAX_WIDTH
from qfx.training.history import History
from qfx.training.loop import Batches, Progress, fit
from qfx.training.recipe import Phase

FEW_BITS = 4
"""Only formats of at most this many bits are widened."""


@explained
def fit_phases(model: nn.Module, data: Batches, phases: Sequence[Phase], progress: Progress | None = None) -> History:
    """Train a calibrated `model` phase by phase and leave it in eval mode, with the formats it came with.

    Returns:
        how all phases went, one after the other.

    Raises:
        InputError: no phases, or a last one with extra bits or digits.
    """
    if not phases or (phases[-1].extra_bits, phases[-1].extra_digits) != (0, 0):
        raise InputError("the last phase has to end with the formats wanted: extra_bits=0 and extra_digits=0")
    wanted = {path: quantizer.spec for path, quantizer in quantizers(model).items()}
    parts: list[History] = []
    for phase in phases:
        for path, quantizer in quantizers(model).items():
            change_spec(quantizer, relaxed(wanted[path], phase))
        parts.append(fit(model, data, phase.recipe, progress))
    return History.joined(parts)


def relaxed(spec: QuantSpec, phase: Phase) -> QuantSpec:
    """The format in place of `spec` during a phase."""
    if spec.frac is None and spec.width <= FEW_BITS:
        width = min(spec.width + phase.extra_bits, MAX_WIDTH)
        exponent = None if spec.max_exponent is None else spec.max_exponent + width - spec.width
        spec = dataclasses.replace(spec, width=width, max_exponent=exponent)
    if spec.k_hot is not None:
        digits = None if phase.extra_digits is None else spec.k_hot + phase.extra_digits
        spec = spec.with_digits(digits)
    return spec


def change_spec(quantizer: Quantizer, spec: QuantSpec) -> None:
    """Give a calibrated quantizer another format; its range stays as far as the codes allow, and it learns again."""
    with torch.no_grad():
        quantizer.frac.add_(spec.largest.bit_length() - quantizer.spec.largest.bit_length())
    quantizer.spec = spec
    quantizer.frozen.fill_(False)
