"""Tensors and a JSON document in one file of safetensors (github.com/huggingface/safetensors), whose library writes and reads it.

The metadata of the file has one entry, as the library orders several at random: a sha256 of the document and of the tensors' bytes,
64 hexadecimal digits, so that a damaged file is told from a whole one, and behind it the document. A file of safetensors without
that entry is a state dict. Reading executes nothing: the library bounds the header and compares
what it claims with the size of the file before anything is made of it; names that stand there twice, and dtypes that no network
has, are refused here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors
from torch import Tensor

from qfx.errors import InputError
from qfx.files import File, joint_hash, new_file
from qfx.records import once

DTYPES = (
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
)

DOCUMENT = "qfx"
"""The entry of the metadata."""
DIGITS = 64
"""Of a sha256."""


def write_tensors(file: File, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write the file, complete or not at all.

    Raises:
        InputError: a tensor of a dtype that cannot be saved.
    """
    plain = {name: _plain(name, tensor) for name, tensor in tensors.items()}
    text = json.dumps(document)
    digest = joint_hash(text.encode(), _split(safetensors.save(plain))[1])
    content = safetensors.save(plain, {DOCUMENT: digest + text})
    with new_file(file) as stream:
        stream.write(content)


def read_tensors(file: File) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Tensors and document of a file; None for a state dict.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    try:
        with Path(file).open("rb"):
            pass
        with safe_open(file, "pt"):  # compares the header with the size of the file, which is read only then
            content = Path(file).read_bytes()
        tensors = safetensors.load(content)
        header, rest = _split(content)
        metadata = json.loads(header, object_pairs_hook=once).get("__metadata__", {})
        document = _document(file, metadata, rest) if DOCUMENT in metadata else None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, ValueError, LookupError, TypeError, RuntimeError, RecursionError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error) or "there is too little memory for it"
        raise InputError(
            f"{file} is neither a file of qfx.save nor a state dict of torch.save or safetensors: {reason}; give one, or save again"
        ) from error
    for name, tensor in tensors.items():
        _check_dtype(name, tensor)
    return tensors, document


def _document(file: File, metadata: Mapping[str, str], rest: bytes) -> dict[str, Any]:
    """The document, once the digest fits."""
    digest, text = metadata[DOCUMENT][:DIGITS], metadata[DOCUMENT][DIGITS:]
    if digest != joint_hash(text.encode(), rest):
        raise InputError(f"{file} was cut short or altered: its content differs from its sha256; save the network again")
    document: Any = json.loads(text, object_pairs_hook=once)
    if not isinstance(document, dict):
        raise ValueError("its document is no object")
    return cast("dict[str, Any]", document)


def _split(content: bytes) -> tuple[bytes, bytes]:
    """The header of a file of safetensors and the tensors' bytes; the first 8 bytes are the header's length."""
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], content[end:]


def _plain(name: str, tensor: Tensor) -> Tensor:
    """A copy in memory of its own, which the library asks for."""
    if tensor.layout != torch.strided:
        raise InputError(f"{name} is a tensor of layout {tensor.layout}, which cannot be saved; make it dense")
    _check_dtype(name, tensor)
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _check_dtype(name: str, tensor: Tensor) -> None:
    if tensor.dtype not in DTYPES:
        raise InputError(
            f"{name} is a tensor of {tensor.dtype}, which cannot be saved; the dtypes are {', '.join(map(str, DTYPES))}"
        )
