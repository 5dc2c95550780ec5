"""Exact arithmetic in torch: everything switched off that computes float32 products otherwise than as IEEE float32 does.

A sum of integers below 2**24 is exact in float32 in any order. It is not exact in TF32, bf16 or half precision, nor by Winograd
or FFT convolutions, which compute with other numbers than the products.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

Undo = Callable[[], None]

FPMATH_VARIABLES = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")
"""What lets oneDNN compute float32 convolutions in bf16 or TF32, whatever torch is told."""

_lock = threading.Lock()
_undo: list[Undo] = []
_inside = 0
_own = threading.local()
"""Of this thread; `device`: the type for which it is inside, `inside`: how often it has entered."""
_STAY = nullcontext()


def exact_arithmetic(device: torch.device) -> AbstractContextManager[None]:
    """No TF32, no bf16 products, no autocast, no cuDNN and no NNPACK (their Winograd and FFT convolutions change the arithmetic).

    The switches are the process's: they are set by the first that enters and set back by the last that leaves, in any thread.
    """
    inside = getattr(_own, "device", None) == device.type and not _autocasts(device.type)
    return _STAY if inside else _exact_arithmetic(device.type)


def _autocasts(device: str) -> bool:
    try:
        return torch.is_autocast_enabled(device)
    except TypeError:  # before torch 2.4 it takes no device; entering once more is always right
        return True


@contextmanager
def _exact_arithmetic(device: str) -> Generator[None]:
    global _inside
    with _lock:
        if _inside == 0:
            _undo[:] = _switch()
        _inside += 1
    before, _own.device = getattr(_own, "device", None), device
    _own.inside = getattr(_own, "inside", 0) + 1
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        _own.device = before
        _own.inside -= 1
        with _lock:
            _leave(1)


def _leave(times: int) -> None:
    global _inside
    _inside -= times
    if times and _inside == 0:
        for undo in reversed(_undo):
            undo()


def _forked() -> None:
    """In a new process there is only the thread that forked: the others never leave."""
    _leave(_inside - getattr(_own, "inside", 0))
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forked)


def _switch() -> list[Undo]:
    """Set every switch; returns what sets them back."""
    backends: Any = torch.backends
    undo = [*_precision(backends), _set(backends.cudnn, "enabled", False)]
    if (nnpack := getattr(backends, "nnpack", None)) is not None:  # since torch 2.3
        (enabled,) = nnpack.set_flags(False)
        undo.append(lambda: nnpack.set_flags(enabled))
    if any(os.environ.get(name, "STRICT").upper() != "STRICT" for name in FPMATH_VARIABLES):
        undo.append(_set(backends.mkldnn, "enabled", False))
    return undo


def _precision(backends: Any) -> list[Undo]:
    """The switches by which torch may compute float32 products in TF32 or bf16; before torch 2.9 there was one for all."""
    owners = [(backends.mkldnn, "conv"), (backends.mkldnn, "matmul"), (backends.cuda, "matmul")]
    settings = [(owner, getattr(owner, name, None)) for owner, name in owners]
    known = [(owner, setting) for owner, setting in settings if hasattr(setting, "fp32_precision")]
    if not known:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        return [lambda: torch.set_float32_matmul_precision(before)]
    return [_set(setting, "fp32_precision", "ieee", getattr(owner, "fp32_precision", None)) for owner, setting in known]


def _set(owner: Any, name: str, value: object, inherited: object = None) -> Undo:
    """Set an attribute; returns what sets it back, to `none` if it read as its owner's, which it then takes again."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    return lambda: setattr(owner, name, "none" if before == inherited else before)
