"""A value: what flows along one edge of the graph, or a constant."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qfx.errors import GraphError
from qfx.fixed import FixedType, IntArray


@dataclass(frozen=True)
class Value:
    """A named integer tensor in one fixed-point format.

    Attributes:
        name: unique in its graph; a computed value has the name of its node, such as `layer1.conv`.
        type: format of every code.
        shape: without the batch axis: (channel, height, width) or (feature,); a constant's full shape.
        constant: the codes (int64) of a constant, None for inputs and computed values.
    """

    name: str
    type: FixedType
    shape: tuple[int, ...]
    constant: IntArray | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Raises GraphError for a field that is not of its type."""
        given: tuple[Any, ...] = (self.name, self.type, self.shape)
        plain = all(map(isinstance, given, (str, FixedType, tuple)))
        if not plain or not all(type(extent) is int for extent in self.shape):
            found = ", ".join(map(reprlib.repr, given))
            raise GraphError(f"a value is made of a name, a FixedType and a tuple of ints, not of {found}")
        codes: Any = self.constant
        if codes is not None and not (isinstance(codes, np.ndarray) and self.codes.dtype.kind in "iu"):
            raise GraphError(f"constant {self.name!r} is a {type(self.constant).__name__} and no array of int64 codes")

    @property
    def size(self) -> int:
        """Elements per sample."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    @property
    def channels(self) -> int:
        """Extent of the first axis."""
        return self.shape[0]

    @property
    def codes(self) -> IntArray:
        """The codes of a constant.

        Raises:
            GraphError: the value is computed, not constant.
        """
        if self.constant is None:
            raise GraphError(f"value {self.name!r} is computed; its operand position wants a constant")
        return self.constant

    def __str__(self) -> str:
        return f"{self.name}: {self.type.ap_name} {list(self.shape)}"
