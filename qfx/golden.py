"""Recorded codes: which inputs a project keeps, what the engines gave for them, and the files they lie in."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from qfx.errors import UsageError
from qfx.fixed import FixedType, IntArray
from qfx.ir import Graph
from qfx.ops.sampling import corner_codes, random_codes

RECORDED = 100
"""Samples that a project records at least."""


def code_dtype(type: FixedType) -> np.dtype[np.integer]:
    """The narrowest integer dtype, of 8 to 64 bits and the sign of `type`, that holds every code of `type`."""
    bits = next(bits for bits in (8, 16, 32, 64) if type.width <= bits)
    return np.dtype(f"{'' if type.signed else 'u'}int{bits}")


def recorded_samples(graph: Graph, samples: npt.NDArray[np.integer], seed: int = 0) -> IntArray:
    """At least `RECORDED` input samples: the given ones, then corners of the input format, then random codes.

    Args:
        graph: a network of one input.
        samples: codes (count, *shape), any count.
        seed: of the random codes.
    """
    value = graph.values[graph.inputs[0]]
    given = samples.astype(np.int64)
    missing = RECORDED - len(given)
    if missing <= 0:
        return given
    corners = corner_codes(value.type, value.shape)[:missing]
    rest = random_codes(value.type, (missing - len(corners), *value.shape), seed)
    return np.concatenate([given, corners, rest])


def read_codes(file: Path) -> npt.NDArray[np.integer]:
    """The integer codes in a `.npy` file.

    Raises:
        UsageError: it is missing, no `.npy` file, or does not hold integers.
    """
    try:
        with file.open("rb") as stream:
            array: Any = np.load(stream, allow_pickle=False)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{file} is no NumPy .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise UsageError(f"{file} is an archive of arrays; give one .npy file")
    codes = cast("npt.NDArray[np.integer]", array)
    if not np.issubdtype(codes.dtype, np.integer):
        raise UsageError(f"{file} holds {codes.dtype}; integer codes are wanted")
    return codes


def write_codes(file: Path, codes: npt.NDArray[np.integer], type: FixedType) -> None:
    """Write codes of `type` to a `.npy` file in the narrowest integer dtype; the file appears complete or not at all."""
    work = file.with_name(f".{file.name}.partial")
    try:
        with work.open("wb") as stream:
            np.save(stream, codes.astype(code_dtype(type)), allow_pickle=False)
        work.replace(file)
    finally:
        work.unlink(missing_ok=True)
