"""The ONNX form of a graph as plain data: no onnx import, so that ops can state theirs anywhere.

Tensors hold integer codes in a floating-point dtype. Each tensor has a dtype, `float32` or `float64`, which the proof
of invariant 4 allows for it: `export/onnx.py` chooses it and turns the form into a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qfx.errors import ExactnessError
from qfx.exact import FLOATS

Attribute = int | float | str | Sequence[int]


@dataclass(frozen=True)
class OnnxNode:
    """One ONNX operator: type, input and output tensor names, attributes."""

    op_type: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Attribute]


@dataclass
class OnnxForm:
    """Nodes and constants of one QFX node.

    Attributes:
        name: prefix of every tensor made here.
        inputs: tensors of the operands, in order; constants included.
        dtypes: dtype of every known tensor.
        accumulator: dtype in which the bound of the node is exact.
    """

    name: str
    inputs: list[str]
    dtypes: dict[str, str]
    accumulator: str
    nodes: list[OnnxNode] = field(default_factory=list[OnnxNode])
    constants: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict[str, npt.NDArray[np.generic]])

    def node(self, op_type: str, *inputs: str, attributes: Mapping[str, Attribute] | None = None, dtype: str | None = None) -> str:
        """Append an operator; the result has the dtype of the first input unless `dtype` is given."""
        output = f"{self.name}/{op_type.lower()}{len(self.nodes)}"
        self.nodes.append(OnnxNode(op_type, inputs, output, dict(attributes or {})))
        self.dtypes[output] = dtype or self.dtypes[inputs[0]]
        return output

    def constant(self, array: npt.ArrayLike, dtype: str) -> str:
        """A constant tensor in `dtype` (`float32`, `float64` or `int64`)."""
        name = f"{self.name}/const{len(self.constants)}"
        data = np.asarray(array)
        stored = data.astype(dtype)
        if dtype in FLOATS and np.any(stored.astype(np.float64) != data.astype(np.float64)):
            raise ExactnessError(f"{self.name}: a constant does not fit {dtype} exactly")
        self.constants[name] = stored
        self.dtypes[name] = dtype
        return name

    def cast(self, tensor: str, dtype: str) -> str:
        """`tensor` in `dtype`; the caller has proved that its values fit."""
        if self.dtypes[tensor] == dtype:
            return tensor
        return self.node("Cast", tensor, attributes={"to": dtype}, dtype=dtype)

    def operand(self, index: int) -> str:
        """Operand `index` in the accumulator dtype."""
        return self.cast(self.inputs[index], self.accumulator)

    def scale(self, tensor: str, power: int) -> str:
        """`tensor * 2**power`, exact by the caller's proof."""
        if power == 0:
            return tensor
        return self.node("Mul", tensor, self.constant(2.0**power, self.dtypes[tensor]))
