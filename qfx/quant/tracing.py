"""Whether somebody else records or transforms what torch computes. What computes past torch asks here, and stands aside.

The C and CUDA kernels, the steps that eval takes together and the constants that it keeps are invisible to whoever records torch's
operations. Three answers are possible, and every kind of recorder gets one:

    torch.jit.trace, torch.onnx.export(dynamo=False), in eval     all by torch's operations, constants as constants; exact
    modes of torch.utils._python_dispatch, as a FlopCounterMode   all by torch's operations; exact
    torch.compile                                                 as `qfx.nn.Model` says; exact in eval
    torch.jit.trace in training, torch.jit.script, torch.export, make_fx, FakeTensorMode, torch.func's transforms     refused

What is refused would lose a gradient, or needs values that those do not have, as the formats and the proof.
"""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from qfx.errors import QuantizationError

_C: Any = torch._C
_tracing_state: Callable[[], object] = _C._get_tracing_state
_modes: Callable[[], int] = _C._len_torch_dispatch_stack
_transform: Callable[[], object] = _C._functorch.peek_interpreter_stack
_STAY = nullcontext()


def recording() -> bool:
    """Whether somebody sees torch's operations only, so that nothing may be computed past them."""
    return bool(torch.compiler.is_compiling() or _tracing_state() is not None or _modes() or _transform() is not None)


def traced_by_jit() -> bool:
    """Whether torch.jit.trace, or torch.onnx by it, records."""
    return _tracing_state() is not None


def unseen() -> AbstractContextManager[None]:
    """What is computed inside is recorded by nobody, and is a constant to those who record."""
    return _unseen() if not torch.compiler.is_compiling() and (_tracing_state() is not None or _modes()) else _STAY


@contextmanager
def _unseen() -> Generator[None]:
    from torch.utils._python_dispatch import _disable_current_modes

    state = _tracing_state()
    _C._set_tracing_state(None)
    try:
        with _disable_current_modes():
            yield
    finally:
        _C._set_tracing_state(state)


def shape_of(x: torch.Tensor) -> tuple[int, ...]:
    """The shape of x in plain numbers, which torch.jit.trace would warn of."""
    with unseen():
        return tuple(x.shape)


def check_followed(training: bool) -> None:
    """Refuse who cannot follow a quantized network.

    Raises:
        QuantizationError: names what was asked for, and what to use.
    """
    if recording():
        found = _unable(training)
        if found is not None:
            raise cannot_follow(found)


def cannot_follow(what: str) -> QuantizationError:
    """The error for one who cannot."""
    return QuantizationError(
        f"{what} cannot follow a quantized network: the formats and the proof of exactness are values to it, and it has none; "
        "for an ONNX model use qfx.write_project or `qfx export`, for a module that runs without QFX take torch.jit.trace in eval, "
        "for speed torch.compile"
    )


def _unable(training: bool) -> str | None:
    if torch.compiler.is_compiling():
        is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", bool)
        return "torch.export" if is_exporting() else None
    if _transform() is not None:
        return "a transform of torch.func (vmap, grad, jvp, ...)"
    if training and _tracing_state() is not None:
        return "torch.jit.trace in training, which loses the gradients of the casts,"
    keys = _C._TorchDispatchModeKey
    for key, what in ((keys.PROXY, "make_fx"), (keys.FAKE, "a FakeTensorMode"), (keys.FUNCTIONAL, "a FunctionalTensorMode")):
        if _C._get_dispatch_mode(key) is not None:
            return what
    return None
