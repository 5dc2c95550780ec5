"""Post-training quantization: binary points from data."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from qfx.errors import QuantizationError
from qfx.quant import quantizers, set_enabled


def calibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give every quantizer the binary point with the least squared error on what reaches it.

    One forward pass in eval over all batches at once, layer after layer: each quantizer sees inputs that the ones before it have
    already quantized. Weights, scales and slopes are calibrated on their own values. Can be called again; quantizers
    whose spec gives a frac keep it. Quantizers that were switched off are switched on, frozen ones learn again.

    Args:
        model: the network.
        batches: inputs as the model takes them, (batch, ...) each; a few hundred samples are plenty.

    Raises:
        QuantizationError: no data, or a quantizer that the forward does not reach.
    """
    inputs = list(batches)
    if not inputs:
        raise QuantizationError("calibrate needs at least one batch of inputs")
    found = quantizers(model)
    modes = {module: module.training for module in model.modules()}
    set_enabled(model, True)
    for quantizer in found.values():
        quantizer.calibrating = True
        quantizer.calibrated.fill_(quantizer.spec.frac is not None)
        quantizer.frozen.fill_(False)
    model.eval()
    try:
        with torch.no_grad():
            model(torch.cat(inputs))
    finally:
        for quantizer in found.values():
            quantizer.calibrating = False
        for module, training in modes.items():
            module.training = training
    missed = [path for path, quantizer in found.items() if not quantizer.calibrated]
    if missed:
        raise QuantizationError(f"the forward pass did not reach the quantizers {', '.join(missed)}; remove them or use them")
