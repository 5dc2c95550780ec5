"""Tensors and a JSON document in one file, in the layout of safetensors (github.com/huggingface/safetensors).

    8 bytes      length of the header, little-endian
    header       JSON: per tensor its dtype, shape and place; under `__metadata__` texts, among them the document
    the rest     the tensors, one behind the other, little-endian

The metadata has a sha256 of the rest and the document, so that a damaged file is told from a whole one. Reading executes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from qfx.errors import InputError
from qfx.files import File, joint_hash, new_file

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}

DOCUMENT, DIGEST = "qfx", "sha256"
"""Entries of the metadata."""


def write_tensors(file: File, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write the file, complete or not at all.

    Raises:
        InputError: a tensor of a dtype that the layout does not have.
    """
    parts = {name: _bytes(name, tensor) for name, tensor in tensors.items()}
    header: dict[str, Any] = {}
    start = 0
    for name, part in parts.items():
        place = [start, start + len(part)]
        header[name] = {"dtype": NAMES[tensors[name].dtype], "shape": list(tensors[name].shape), "data_offsets": place}
        start = place[1]
    text, rest = json.dumps(document), b"".join(parts.values())
    header["__metadata__"] = {"format": "pt", DOCUMENT: text, DIGEST: joint_hash(text.encode(), rest)}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with new_file(file) as stream:
        stream.write(len(head).to_bytes(8, "little") + head + rest)


def read_tensors(file: File) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and document of a file.

    Raises:
        InputError: it cannot be read, is damaged, or was not written by `write_tensors`.
    """
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    try:
        end = 8 + int.from_bytes(content[:8], "little")
        header: Any = json.loads(content[8:end])
        metadata, rest = header.pop("__metadata__"), content[end:]
        text, digest = metadata[DOCUMENT], metadata[DIGEST]
        if joint_hash(text.encode(), rest) != digest:
            raise InputError(f"{file} was cut short or altered: its content differs from its sha256; save the network again")
        tensors = {name: _tensor(rest, **place) for name, place in cast("dict[str, Any]", header).items()}
        return tensors, json.loads(text)
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} is no file of qfx.save: {error}; give one, or save the network again") from error


def _bytes(name: str, tensor: Tensor) -> bytes:
    if tensor.dtype not in NAMES or tensor.layout != torch.strided:
        raise InputError(
            f"{name} is a tensor of {tensor.dtype}, which cannot be saved; the dtypes are {', '.join(map(str, NAMES))}"
        )
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _tensor(rest: bytes, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    start, end = data_offsets
    kind = DTYPES[dtype]
    if not 0 <= start <= end <= len(rest) or end - start != math.prod(shape) * kind.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"a tensor of shape {shape} does not fit its place {data_offsets}")
    if start == end:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(bytearray(rest[start:end]), dtype=kind).reshape(shape)
