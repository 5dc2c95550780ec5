"""Arrays for the values of a program, in memory that is used again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_ALIGNMENT = 64
"""Bytes of a cache line."""


class Arena:
    """Hands out arrays and takes them back; an array that was given back may overlap one handed out later."""

    def __init__(self) -> None:
        self._free: list[Array] = []
        self._lent: dict[int, tuple[Array, Array]] = {}

    def take(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """A contiguous array of any content, in the smallest free block that is large enough."""
        bytes = math.prod(shape) * np.dtype(dtype).itemsize
        fitting = [block for block in self._free if block.size >= bytes]
        if fitting:
            block = min(fitting, key=len)
            self._free = [other for other in self._free if other is not block]
        else:
            block = _block(bytes)
        array = block[:bytes].view(dtype).reshape(shape)
        self._lent[id(array)] = (array, block)
        return array

    def give(self, *arrays: Array) -> None:
        """Take back what `take` returned."""
        self._free += [self._lent.pop(id(array))[1] for array in arrays]


def _block(bytes: int) -> Array:
    """Memory that begins at a cache line."""
    raw = np.empty(bytes + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + bytes]


class Temps:
    """Scratch arrays, two of each dtype, as large as the first block that asks for them: no other may be larger."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._arrays: dict[tuple[int, str], Array] = {}

    def get(self, slot: int, dtype: str, shape: tuple[int, ...]) -> Array:
        """The scratch array `slot` of `dtype`, in this shape."""
        if (slot, dtype) not in self._arrays:
            self._arrays[slot, dtype] = self._arena.take((math.prod(shape),), dtype)
        return self._arrays[slot, dtype][: math.prod(shape)].reshape(shape)

    def release(self) -> None:
        """Give the memory back."""
        self._arena.give(*self._arrays.values())
        self._arrays.clear()
