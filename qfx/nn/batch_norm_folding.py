"""Folding batch normalisation into the convolution or linear layer before it, in floating point, before quantization.

weight' = weight * scale,   bias' = offset + scale * bias      (per output channel)
"""

from __future__ import annotations

import torch
from torch import fx, nn

from qfx.annotations import explained
from qfx.frontend.trace import trace
from qfx.nn.batch_norm import BatchNorm1d, BatchNorm2d
from qfx.nn.conv2d import Conv1d, Conv2d
from qfx.nn.linear import Linear
from qfx.quant import Quantizer, QuantSpec


@explained
def fold_batch_norm(model: nn.Module, bias: QuantSpec | None = None) -> list[str]:
    """Fold every batch normalisation that directly follows a convolution or linear layer; it becomes an Identity.

    Call it on trained weights before calibration: the folded weights need new binary points.

    Args:
        bias: format of biases that are made new; None for 8 bits.

    Returns:
        paths of the folded batch normalisations.

    Raises:
        LoweringError: the model cannot be traced.
    """
    traced = trace(model)
    calls = [node for node in traced.nodes if node.op == "call_module"]
    folded: list[str] = []
    for node in calls:
        norm, path = traced.layer(node), traced.paths[node]
        if not isinstance(norm, BatchNorm1d | BatchNorm2d) or not isinstance(node.args[0], fx.Node):
            continue
        before = node.args[0]
        layer = traced.layer(before)
        single = len([user for user in traced.nodes if before in user.all_input_nodes]) == 1
        once = all(sum(traced.paths[call] == other for call in calls) == 1 for other in (path, traced.paths.get(before)))
        if isinstance(layer, Conv1d | Conv2d | Linear) and layer.acc is None and single and once:
            _fold(layer, norm, bias or QuantSpec.weights(8))
            model.set_submodule(path, nn.Identity())
            folded.append(path)
    return folded


def _fold(layer: Conv1d | Conv2d | Linear, norm: BatchNorm1d | BatchNorm2d, bias_spec: QuantSpec) -> None:
    with torch.no_grad():
        scale, offset = norm.affine(norm.running_mean, norm.running_var)
        bias = offset if layer.bias is None else offset + scale * layer.bias
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
    layer.bias = nn.Parameter(bias.clone())
    layer.bias_quant = layer.bias_quant or Quantizer(bias_spec, len(bias))
    for quantizer in (layer.weight_quant, layer.bias_quant):
        quantizer.calibrated.fill_(quantizer.spec.frac is not None)
