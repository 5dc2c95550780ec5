"""The ops of the graph. One module states one op: attributes, type rule, integer meaning, cost, ONNX form, samples."""

from qfx.ops.add import Add
from qfx.ops.affine import Affine
from qfx.ops.argmax import ArgMax
from qfx.ops.avg_pool2d import AvgPool2d
from qfx.ops.base import Cost, Op, Sample
from qfx.ops.clamp import Clamp
from qfx.ops.concat import Concat
from qfx.ops.conv2d import Conv2d
from qfx.ops.linear import Linear
from qfx.ops.lookup import Lookup
from qfx.ops.max_pool2d import MaxPool2d
from qfx.ops.minimum import Minimum
from qfx.ops.multiply import Multiply
from qfx.ops.pad import Pad
from qfx.ops.prelu import PReLU
from qfx.ops.rearrange import Rearrange
from qfx.ops.relu import ReLU
from qfx.ops.requantize import Requantize
from qfx.ops.reshape import Reshape
from qfx.ops.shift import Shift
from qfx.ops.slice import Slice
from qfx.ops.upsample import Upsample

OPS: dict[str, type[Op]] = {
    op.kind: op for op in list(globals().values()) if isinstance(op, type) and issubclass(op, Op) and op is not Op
}
"""Every op by its kind."""

__all__ = [
    "OPS",
    "Add",
    "Affine",
    "ArgMax",
    "AvgPool2d",
    "Clamp",
    "Concat",
    "Conv2d",
    "Cost",
    "Linear",
    "Lookup",
    "MaxPool2d",
    "Minimum",
    "Multiply",
    "Op",
    "PReLU",
    "Pad",
    "ReLU",
    "Rearrange",
    "Requantize",
    "Reshape",
    "Sample",
    "Shift",
    "Slice",
    "Upsample",
]
