"""What callers hand over as a network and as inputs: whether it is that, and can be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from qfx.arguments import shown
from qfx.errors import InputError

_WANTED = "a torch.nn.Module is wanted, made: an object, not its class"
_SOURCE = "give the module that it was made of"


def check_network(model: Any, what: str = "the network") -> nn.Module:
    """`model`, if it is a network with Python code to run.

    Args:
        model: anything.
        what: of the messages.

    Raises:
        InputError: no module, or one whose code is gone, since torch.jit or torch.export have made something else of it.
    """
    if isinstance(model, torch.export.ExportedProgram):
        raise InputError(f"{what} was exported by torch.export, which left ATen operators of its layers; {_SOURCE}")
    if isinstance(model, Mapping):
        raise InputError(f"{what} is {shown(model)}; weights alone are no network: make one, and load them with load_state_dict")
    if not isinstance(model, nn.Module):
        raise InputError(f"{what} is {shown(model)}; {_WANTED}")
    for path, module in cast("Iterator[tuple[str, nn.Module]]", model.named_modules()):
        part = f"{what}'s {path}" if path else what
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(f"{part} was scripted or traced by torch.jit, and has no Python code; {_SOURCE}")
        if isinstance(module, fx.GraphModule) and any(type(n.target).__name__ == "OpOverload" for n in module.graph.nodes):
            raise InputError(f"{part} was exported by torch.export, which left ATen operators of its layers; {_SOURCE}")
    return model


Array = Tensor | npt.NDArray[Any]
Inputs = Array | Sequence[Array] | Mapping[str, Array]
"""A tensor or NumPy array for each input of a model, in order or by name; alone for the only one."""


def tensors(what: str, given: Any, names: Sequence[str]) -> tuple[Tensor, ...]:
    """A tensor for each input of a model.

    Args:
        what: of the messages, such as `the sample`.
        given: one tensor or NumPy array for the only input, a list or tuple of them in order, or a mapping by name.
        names: of the inputs.

    Raises:
        InputError: something else, another number or other names, or tensors without plain values.
    """
    if isinstance(given, Mapping):
        named = cast("Mapping[Any, Any]", given)
        if set(named) != set(names):
            raise InputError(f"{what} is for {', '.join(map(str, named)) or 'no input'}, but the model reads {', '.join(names)}")
        parts: list[Any] = [named[name] for name in names]
    elif isinstance(given, list | tuple):
        parts = [*given]
    elif isinstance(given, Tensor | np.ndarray):
        parts = [given]
    else:
        raise InputError(
            f"{what} is {shown(given)}; a tensor (batch, ...) is wanted, of several inputs one for each; of a DataLoader take the"
            " inputs of a batch"
        )
    if len(parts) != len(names):
        raise InputError(
            f"{what} has {len(parts)} tensors, but the model reads {len(names)}: {', '.join(names)}; one (batch, ...) is wanted for"
            " each, and torch.stack makes one of single samples"
        )
    return tuple(tensor(f"{what} of input {name!r}", part) for name, part in zip(names, parts, strict=True))


def tensor(what: str, given: Any) -> Tensor:
    """A tensor with plain values: real numbers, whole numbers or truth values, dense, on a device that holds them.

    Raises:
        InputError: something else.
    """
    if isinstance(given, np.ndarray):
        array = cast("npt.NDArray[Any]", given)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise InputError(f"{what} has dtype {array.dtype}; real or whole numbers are wanted")
        native: npt.NDArray[Any] = np.ascontiguousarray(array).astype(f"={array.dtype.kind}{array.dtype.itemsize}")
        given = torch.from_numpy(native)
    if not isinstance(given, Tensor):
        raise InputError(f"{what} is {shown(given)}; a tensor (batch, ...) is wanted")
    if given.is_quantized:
        raise InputError(f"{what} has dtype {given.dtype}; give its values, as tensor.dequantize()")
    if given.is_complex():
        raise InputError(f"{what} has dtype {given.dtype}; real or whole numbers are wanted")
    if given.layout is not torch.strided:
        raise InputError(f"{what} has the layout {given.layout}; give a dense one, as tensor.to_dense()")
    if given.is_meta:
        raise InputError(f"{what} is on the device meta, which holds no values")
    return given


def check_finite(what: str, values: Tensor) -> None:
    """Whether every value is a finite number.

    Raises:
        InputError: how many are not, and where the first is.
    """
    if not values.is_floating_point() or bool(torch.isfinite(values).all()):
        return
    values = values.detach()
    wrong = torch.nonzero(~torch.isfinite(values))
    first = tuple(int(index) for index in wrong[0])
    raise InputError(
        f"{what} holds {len(wrong)} of {values.numel()} values that are NaN or infinite, the first, {float(values[first])}, at"
        f" {list(first)}"
    )
