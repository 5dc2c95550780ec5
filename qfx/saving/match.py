"""Whether a saved network fits a model: the same tensors, layers and formats. Differences are listed, all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

import qfx.nn as qnn
from qfx.errors import StateError
from qfx.files import File
from qfx.quant import Quantizer
from qfx.quant.stated import spec_text
from qfx.saving.modules import class_name, settings_of
from qfx.saving.plain import NotPlain, decode

FREE = frozenset(("momentum", "inplace", "label"))
"""Settings that no value in eval depends on."""

SHOWN = 8
"""Tensors that a message lists; of layers it lists all."""


def check_match(
    model: nn.Module, own: Mapping[str, Tensor], saved: Mapping[str, Tensor], modules: Mapping[str, Any], path: File
) -> list[tuple[Quantizer, bool]]:
    """The quantizers of `model`, each with whether it was on.

    Args:
        own, saved: every parameter and buffer by its name, of the model and of the file.
        modules: of the file, as `describe` wrote them.

    Raises:
        StateError: what differs, by name and with both sides.
    """
    quantizers: list[tuple[Quantizer, bool]] = []
    layers, shapes = list(_layers(model, modules, quantizers)), list(_shapes(own, saved))
    if layers or shapes:
        more = [f"and {len(shapes) - SHOWN} more"] if len(shapes) > SHOWN else []
        raise StateError("\n  ".join([f"{path} does not fit the model:", *layers, *shapes[:SHOWN], *more]))
    return quantizers


def _layers(model: nn.Module, modules: Mapping[str, Any], quantizers: list[tuple[Quantizer, bool]]) -> Iterator[str]:
    """Differences between layers; fills `quantizers`."""
    for path, module in cast("Iterator[tuple[str, nn.Module]]", model.named_modules()):
        if not isinstance(module, qnn.Layer | Quantizer):
            continue
        entry = modules.get(path)
        if entry is None or "same" in entry:
            yield f"{path} ({type(module).__name__}) is not in the file"
        elif entry["class"] != class_name(module) and class_name(module) is not None:
            yield f"{path}: the file has a {entry['class']}, the model a {class_name(module)}"
        elif isinstance(module, Quantizer):
            saved = decode(entry["settings"]["spec"])
            if spec_text(saved) != spec_text(module.spec):
                yield f"{path}: the file has {spec_text(saved)}; the model has {spec_text(module.spec)}"
            quantizers.append((module, entry["settings"]["enabled"] is True))
        else:
            yield from _settings(path, module, entry["settings"])


def _settings(path: str, layer: nn.Module, saved: Mapping[str, Any]) -> Iterator[str]:
    try:
        own = settings_of(layer)
    except NotPlain:  # a function of the user's: only the user can tell whether it is the same
        return
    for name in sorted((own.keys() | saved.keys()) - FREE):
        if own.get(name) != saved.get(name):
            yield f"{path}: the file has {name}={_shown(saved.get(name))}, the model {name}={_shown(own.get(name))}"


def _shown(setting: Any) -> str:
    return str(decode(setting))


def _shapes(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> Iterator[str]:
    for name in sorted(own.keys() | saved.keys()):
        if name not in saved:
            yield f"{name} is a tensor of the model that the file does not have"
        elif name not in own:
            yield f"{name} is a tensor of the file that the model does not have"
        elif _kind(own[name]) != _kind(saved[name]):
            yield f"{name}: the file has {_kind(saved[name])}, the model {_kind(own[name])}"


def _kind(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
