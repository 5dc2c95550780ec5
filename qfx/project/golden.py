"""Recorded codes: which inputs a project keeps, what the engines gave for them, and the files they lie in."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import cast, overload

import numpy as np
import numpy.typing as npt

from qfx.arrays import read_npy, read_npz
from qfx.errors import InputError
from qfx.files import File, new_file, scratch
from qfx.fixed import FixedType, IntArray, code_dtype
from qfx.ir import Graph, Value
from qfx.ops.sampling import corner_codes, random_codes
from qfx.sim.engine import Codes, by_input

RECORDED = 100
"""Samples that a project records at least."""


@overload
def recorded_samples(graph: Graph, samples: npt.NDArray[np.integer], seed: int = 0) -> IntArray: ...
@overload
def recorded_samples(graph: Graph, samples: Mapping[str, npt.NDArray[np.integer]], seed: int = 0) -> dict[str, IntArray]: ...
def recorded_samples(graph: Graph, samples: Codes, seed: int = 0) -> IntArray | dict[str, IntArray]:
    """At least `RECORDED` input samples: the given ones, then corners of the input format, then random codes.

    Args:
        graph: the network.
        samples: codes (count, *shape) of its only input, or of each input by name; any count.
        seed: of the random codes.
    """
    given = {name: codes.astype(np.int64) for name, codes in by_input(graph, samples).items()}
    missing = max(0, RECORDED - min(map(len, given.values())))
    added = random_samples(graph, missing, seed)
    recorded = {name: np.concatenate([codes, added[name]]) for name, codes in given.items()}
    return recorded[graph.inputs[0]] if isinstance(samples, np.ndarray) else recorded


def random_samples(graph: Graph, count: int, seed: int) -> dict[str, IntArray]:
    """Codes (count, *shape) of each input: the corners of its format, then random ones."""
    found: dict[str, IntArray] = {}
    for index, name in enumerate(graph.inputs):
        value = graph.values[name]
        corners = corner_codes(value.type, value.shape)[:count]
        # a seed of its own for each input, or inputs of one shape would be equal
        rest = random_codes(value.type, (count - len(corners), *value.shape), seed + index)
        found[name] = np.concatenate([corners, rest])
    return found


def read_codes(file: File) -> npt.NDArray[np.integer]:
    """The integer codes in a `.npy` file; a large one stays there and is read where it is used.

    Raises:
        InputError: it is missing or damaged, no `.npy` file, or holds something else than integers with an axis of samples.
    """
    return _integers(read_npy(file), str(file))


def read_archive(file: File) -> dict[str, npt.NDArray[np.integer]]:
    """The integer codes in a `.npz` file, by name.

    Raises:
        InputError: it is missing or damaged, no `.npz` file, or holds something else than integers with an axis of samples.
    """
    return {name: _integers(array, f"{file}: {name!r}") for name, array in read_npz(file).items()}


def read_inputs(file: File) -> Codes:
    """Input codes: one array, or by input name from a file that ends in `.npz`.

    Raises:
        InputError: as `read_codes` and `read_archive`.
    """
    return read_archive(file) if Path(file).suffix == ".npz" else read_codes(file)


def _integers(array: npt.NDArray[np.generic], where: str) -> npt.NDArray[np.integer]:
    if array.dtype.kind not in "iu":
        raise InputError(f"{where} holds {array.dtype}; integer codes are wanted")
    if not array.ndim:
        raise InputError(f"{where} holds a single number; codes have samples as their first axis")
    return cast("npt.NDArray[np.integer]", array)


def write_codes(file: File, codes: npt.NDArray[np.integer], type: FixedType) -> None:
    """Write codes of `type` to a `.npy` file in the narrowest integer dtype; the file appears complete or not at all."""
    with new_file(file) as stream:
        np.save(stream, codes.astype(code_dtype(type)), allow_pickle=False)


@contextlib.contextmanager
def writing_codes(file: File, count: int, value: Value) -> Generator[Callable[[npt.NDArray[np.integer]], None]]:
    """Write `count` samples of `value` to a `.npy` file part by part; the file appears complete or not at all.

    Yields:
        a function that takes the codes (samples, *shape) of the next part.
    """
    dtype = code_dtype(value.type)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count, *value.shape)}
    with new_file(file) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        yield lambda codes: cast("None", stream.write(codes.astype(dtype).tobytes()))


def write_archive(file: File, codes: Mapping[str, npt.NDArray[np.integer]], types: Mapping[str, FixedType]) -> None:
    """Write codes by name to a `.npz` file, each in its narrowest integer dtype; it appears complete or not at all."""
    _write_archive(file, {name: array.astype(code_dtype(types[name]), copy=False) for name, array in codes.items()})


def write_arrays(file: File, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write one array as `.npy`, several by name as `.npz`, as they are; the file appears complete or not at all."""
    if len(arrays) > 1:
        _write_archive(file, arrays)
        return
    with new_file(file) as stream:
        np.save(stream, next(iter(arrays.values())), allow_pickle=False)


def _write_archive(file: File, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    with new_file(file) as stream, zipfile.ZipFile(stream, "w") as archive:  # np.savez takes no array named `file`
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.save(member, array, allow_pickle=False)


def write_by_name(graph: Graph, file: File, codes: Mapping[str, npt.NDArray[np.integer]]) -> None:
    """Write the codes of one value as `.npy`, of several as `.npz`, whatever the file is called."""
    if len(codes) == 1:
        name, array = next(iter(codes.items()))
        write_codes(file, array, graph.values[name].type)
    else:
        write_archive(file, codes, {name: graph.values[name].type for name in codes})


@contextlib.contextmanager
def writing_by_name(graph: Graph, file: File, count: int) -> Generator[Callable[[Mapping[str, IntArray]], None]]:
    """Write `count` samples of the graph's outputs chunk by chunk, as `write_by_name` writes them at once.

    Yields:
        a function that takes the codes of all outputs for the next chunk.
    """
    file = Path(file)
    with contextlib.ExitStack() as stack:
        single = len(graph.outputs) == 1
        folder = file.parent if single else stack.enter_context(scratch(file.parent, file))
        parts = [file if single else folder / f"{index}.npy" for index in range(len(graph.outputs))]
        with contextlib.ExitStack() as files:
            writers = {
                name: files.enter_context(writing_codes(part, count, graph.values[name]))
                for name, part in zip(graph.outputs, parts, strict=True)
            }

            def write(chunk: Mapping[str, IntArray]) -> None:
                for name, writer in writers.items():
                    writer(chunk[name])

            yield write
        if not single:
            write_by_name(graph, file, {name: read_codes(part) for name, part in zip(graph.outputs, parts, strict=True)})
