"""NumPy's files, read as data of unknown origin: nothing is unpickled, and no more memory is taken than a file can fill.

    .npy   the magic, a version, the length of the header, the header, the elements
    .npz   a zip archive of them, stored or deflated

A header is matched as text, never evaluated, and what it claims is compared with what is there before memory is asked for. The
layout is that of `numpy.lib.format`, versions 1 to 3.
"""

from __future__ import annotations

import math
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from qfx.errors import InputError
from qfx.files import File

Array = npt.NDArray[np.generic]

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}
"""Version -> bytes that hold the length of the header."""
_LONGEST = 10_000
"""Bytes of a header that is looked at; that of plain numbers has a hundred."""
_MOST_AXES = 32
_MAPPED = 1 << 20
"""Bytes of a `.npy` file that is not read at once."""
_STEP = 1 << 20
"""Bytes that are read at a time."""

UNPACKED, RATIO = 1 << 30, 100
"""An archive may unpack to this many bytes, or to this many times its size, whatever is more: others are made to fill memories."""

_ENTRY = r"\s*'(\w+)'\s*:\s*(True|False|'[^']{0,40}'|\([\d\s,L]*\))\s*,?"
_HEADER = re.compile(rf"\s*\{{{_ENTRY * 3}\s*\}}\s*")
_NUMBERS = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")
_OTHERS = {
    "O": "Python objects, which are never unpickled",
    "m": "time differences",
    "M": "dates",
    "c": "complex numbers",
    "f": "floating-point numbers of a width that differs between machines",
    "U": "text",
    "S": "text",
    "V": "records",
}


class _Unfit(Exception):
    """Why a stream is no array of numbers."""


def read_npy(file: File) -> Array:
    """The array in a `.npy` file; a large one stays there, read-only, and is read where it is used.

    Raises:
        InputError: the file cannot be read, holds something else than one array of plain numbers, or is not whole.
    """
    path = Path(file)
    try:
        with path.open("rb") as stream:
            if stream.read(len(_MAGIC)) != _MAGIC and zipfile.is_zipfile(stream):
                raise InputError(f"{file} is an archive of arrays; give one .npy file")
            stream.seek(0)
            size = path.stat().st_size
            dtype, shape, order = _header(stream, size)
            if size <= _MAPPED or not math.prod(shape):
                return _elements(stream, dtype, shape, order)
            return np.memmap(path, dtype, "r", stream.tell(), shape, order)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    except _Unfit as unfit:
        raise InputError(f"{file} is no NumPy .npy file of numbers: {unfit}") from None


def read_npz(file: File) -> dict[str, Array]:
    """The arrays in a `.npz` file, by name.

    Raises:
        InputError: the file cannot be read, holds something else than arrays of plain numbers, is not whole, or unpacks to more
            than `UNPACKED` and `RATIO` allow.
    """
    path = Path(file)
    try:
        with path.open("rb") as stream:
            if stream.read(len(_MAGIC)) == _MAGIC:
                raise InputError(f"{file} is one array; an .npz archive holds the codes by name")
            return _members(stream, path.stat().st_size)
    except InputError:
        raise
    except _Unfit as unfit:
        raise InputError(f"{file} is no NumPy .npz archive of numbers: {unfit}") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # zipfile and zlib raise a dozen types for archives that are damaged
        raise InputError(f"{file} is no NumPy .npz archive of numbers: {error or type(error).__name__}") from error


def _members(stream: IO[bytes], size: int) -> dict[str, Array]:
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        unpacked, most = sum(member.file_size for member in members), max(UNPACKED, RATIO * size)
        if unpacked > most:
            raise _Unfit(f"its {size:,} bytes unpack to {unpacked:,}, above the limit of {most:,}; save it with numpy.savez")
        found: dict[str, Array] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name == member.filename or name in found:
                raise _Unfit(f"{member.filename!r} is {'there twice' if name in found else 'no .npy file'}")
            found[name] = _member(archive, member)
    return found


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    if member.flag_bits & 1:
        raise _Unfit(f"{member.filename!r} is encrypted; save it with numpy.savez")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Unfit(f"{member.filename!r} is compressed by method {member.compress_type}; save it with numpy.savez")
    with archive.open(member) as stream:
        try:
            return _elements(stream, *_header(stream, member.file_size))
        except _Unfit as unfit:
            raise _Unfit(f"{member.filename!r}: {unfit}") from None


def _header(stream: IO[bytes], size: int) -> tuple[np.dtype[np.generic], tuple[int, ...], Any]:
    """Dtype, shape and order of the array in a stream of `size` bytes, which then stands at the first element."""
    start = stream.read(len(_MAGIC) + 2)
    digits = _LENGTH_BYTES.get(start[len(_MAGIC) :]) if start.startswith(_MAGIC) else None
    if digits is None:
        raise _Unfit("it does not begin as one")
    length = int.from_bytes(stream.read(digits), "little")
    if length > _LONGEST:
        raise _Unfit(f"its header of {length:,} bytes is longer than the {_LONGEST:,} that are read")
    text = stream.read(length).decode("latin1")
    match = _HEADER.fullmatch(text)
    entries = dict(zip(match.groups()[::2], match.groups()[1::2], strict=True)) if match else {}
    if entries.keys() != {"descr", "fortran_order", "shape"}:
        raise _Unfit(f"its header {text.strip()[:80]!r} describes no array of plain numbers")
    dtype, shape = _dtype(entries["descr"].strip("'")), _shape(entries["shape"])
    there, wanted = size - len(start) - digits - length, dtype.itemsize * math.prod(shape)
    if there != wanted:
        raise _Unfit(f"its shape {shape} of {dtype} takes {wanted:,} bytes, and {there:,} are there")
    return dtype, shape, "F" if entries["fortran_order"] == "True" else "C"


def _dtype(text: str) -> np.dtype[np.generic]:
    if not _NUMBERS.fullmatch(text):
        kind = text.lstrip("<>=|")[:1]
        raise _Unfit(f"it holds {_OTHERS.get(kind, 'no numbers')} (dtype {text!r})")
    return np.dtype(text)


def _shape(text: str) -> tuple[int, ...]:
    extents = re.findall(r"\d+", text)
    shape = tuple(int(extent[:20]) for extent in extents)  # 20 digits are above all limits
    if len(shape) > _MOST_AXES or math.prod(max(1, extent) for extent in shape) > 1 << 59:
        raise _Unfit(f"an array of shape {text[:80]} cannot be")
    return shape


def _elements(stream: IO[bytes], dtype: np.dtype[np.generic], shape: tuple[int, ...], order: Any) -> Array:
    """The rest of a stream as an array; whether nothing follows, and in an archive the checksum, is looked at too."""
    data = np.empty(dtype.itemsize * math.prod(shape), np.uint8)
    done = 0
    while done < len(data):
        part = stream.read(min(_STEP, len(data) - done))
        if not part:
            raise _Unfit(f"it ends after {done:,} of {len(data):,} bytes of elements")
        data[done : done + len(part)] = np.frombuffer(part, np.uint8)
        done += len(part)
    if stream.read(1):
        raise _Unfit("something follows its elements")
    return data.view(dtype).reshape(shape, order=order)
