"""What to use instead of a torch module or function that has no fixed-point form, by its name."""

from __future__ import annotations

import qfx.nn
from qfx.nn.layer import Layer

_SOFTMAX = (
    "leave it out: it keeps the order of its inputs, so torch.argmax(x, dim=1) or the bare logits can end the network; "
    "as the last step, it is left to the host"
)
_STATISTICS = "its statistics depend on the input; use qfx.nn.BatchNorm2d, whose statistics are fixed after training"
_MEMORY = "a network keeps no state between steps; unroll it into layers of qfx.nn"
_ORDER = "torch.argmax(x, dim=1) gives the best on the chip; topk and sort as the last step are left to the host"
_VOLUME = "only layers of one and two dimensions are supported"

_OTHERS = {
    **dict.fromkeys(("softmax", "logsoftmax", "softmax2d"), _SOFTMAX),
    **dict.fromkeys(("layernorm", "groupnorm", "instancenorm", "instancenorm1d", "instancenorm2d", "rmsnorm"), _STATISTICS),
    **dict.fromkeys(("lstm", "gru", "rnn", "rnnbase", "lstmcell", "grucell", "rnncell"), _MEMORY),
    **dict.fromkeys(("topk", "sort", "argsort", "max", "amax"), _ORDER),
    **dict.fromkeys(("conv3d", "batchnorm3d", "maxpool3d", "avgpool3d", "convtranspose3d"), _VOLUME),
    **dict.fromkeys(
        (
            "elu",
            "selu",
            "celu",
            "mish",
            "softplus",
            "softsign",
            "logsigmoid",
            "tanhshrink",
            "softshrink",
            "hardshrink",
            "threshold",
        ),
        "use qfx.nn.Lookup(function, input, output)",
    ),
    **dict.fromkeys(
        ("log", "sqrt", "rsqrt", "square", "pow", "abs", "sin", "cos", "erf", "reciprocal", "exp2", "log2", "sign"),
        "use qfx.nn.Lookup(function, input, output)",
    ),
    **dict.fromkeys(("maxpool1dwithindices", "maxpool2dwithindices"), "leave return_indices out"),
    "leakyrelu": "use qfx.nn.PReLU, whose slope may be fixed",
    "rrelu": "use qfx.nn.PReLU",
    "softmin": "use F.softmax(-x, dim=1) as the last step, which is left to the host",
    "batchnorm": "use qfx.nn.BatchNorm2d",
    "matmul": "only products with weights are supported; use qfx.nn.Linear",
    "multiheadattention": "products of two computed matrices are not supported; use layers of qfx.nn",
    "embedding": "do it on the host, and let the network read its result through qfx.nn.QuantInput",
    "stack": "use torch.cat(tensors, dim=1), and unsqueeze or view before it",
    "sum": "use mean, where the number of pixels is a power of two, or qfx.nn.AvgPool2d",
    "reflectionpad2d": "use nn.ZeroPad2d or nn.ConstantPad2d",
    "replicationpad2d": "use nn.ZeroPad2d or nn.ConstantPad2d",
}


def advice(name: str) -> str:
    """What a message says after the name of a module or function, such as `Conv2d`, `conv2d` or `leaky_relu_`."""
    key = name.lower().replace("_", "")
    layers = {layer.lower(): layer for layer in qfx.nn.__all__ if _is_layer(layer)}
    if key in layers:
        return f"use qfx.nn.{layers[key]}"
    return _OTHERS.get(key, "use layers of qfx.nn, or the functions that docs/layers.md lists")


def _is_layer(name: str) -> bool:
    """Whether qfx.nn's `name` is a layer of its own, not torch's."""
    found = getattr(qfx.nn, name)
    return isinstance(found, type) and issubclass(found, Layer)
