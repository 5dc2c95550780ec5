"""The ops of the graph. One module states one op: attributes, type rule, integer meaning, cost, ONNX form, samples."""

from qfx.ops.add import Add
from qfx.ops.affine import Affine
from qfx.ops.avg_pool2d import AvgPool2d
from qfx.ops.base import Cost, Op, Sample
from qfx.ops.conv2d import Conv2d
from qfx.ops.linear import Linear
from qfx.ops.max_pool2d import MaxPool2d
from qfx.ops.prelu import PReLU
from qfx.ops.relu import ReLU
from qfx.ops.requantize import Requantize
from qfx.ops.reshape import Reshape

OPS: dict[str, type[Op]] = {
    op.kind: op for op in (Add, Affine, AvgPool2d, Conv2d, Linear, MaxPool2d, PReLU, ReLU, Requantize, Reshape)
}
"""Every op by its kind."""

__all__ = [
    "OPS",
    "Add",
    "Affine",
    "AvgPool2d",
    "Conv2d",
    "Cost",
    "Linear",
    "MaxPool2d",
    "Op",
    "PReLU",
    "ReLU",
    "Requantize",
    "Reshape",
    "Sample",
]
