"""State dicts in files: those of torch.save, read without pickled code, and those of safetensors."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qfx.errors import InputError, StateError
from qfx.files import File
from qfx.nn.state_dict import fitted

_TORCH = (b"PK\x03\x04", b"\x80")
"""How files of torch.save begin: a zip archive, or a pickle from before torch 1.6."""


def is_torch_file(file: File) -> bool:
    """Whether a file begins as those of torch.save do.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with Path(file).open("rb") as stream:
            start = stream.read(9)
            return start.startswith(_TORCH) and start[8:] != b"{"  # behind the length of a header, as safetensors has it
    except FileNotFoundError as error:
        raise InputError(f"there is no file {file}") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error


def read_torch_file(file: File) -> Any:
    """What `torch.save` wrote, on the CPU.

    Raises:
        InputError: it is damaged, or holds more than tensors and plain values.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged pickle raises is up to its bytes
        reason = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError) and reason.startswith("Weights only"):
            reason = "it holds more than tensors and plain values, as a whole model does; save model.state_dict(), or use qfx.save"
        raise InputError(f"{file} is no state dict that torch.load reads with weights_only=True: {reason}") from error


def load_state(model: nn.Module, state: Mapping[str, Any], file: File) -> str:
    """Load a state dict of a file into a model, all of it or nothing; returns what there is to say about it, mostly nothing.

    Raises:
        StateError: it does not fit.
    """
    fitting, note = fitted(model, state, source=str(file))
    try:
        model.load_state_dict(fitting)
    except RuntimeError as error:
        raise StateError(f"{file} does not fit {type(model).__name__}: {str(error)[:500]}") from error
    return note
