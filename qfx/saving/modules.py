"""The modules of a network as data: class, settings, parameters and children of each; and the modules that such data describe.

Settings are the plain attributes of a layer, as its constructor left them; a quantizer's are its format and whether it is on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from torch import Tensor, fx, nn

import qfx.nn as qnn
from qfx.frontend.spelling import can_spell
from qfx.quant import Quantizer, QuantSpec
from qfx.saving.callables import module_named
from qfx.saving.plain import NotPlain, decode, encode


def is_path(path: str) -> bool:
    """Whether a module may have the path: fx writes it into the code of a forward."""
    return not path or all(map(can_spell, path.split(".")))


QUANTIZER = "qfx.quant.Quantizer"

_BARE = frozenset(vars(nn.Module()))
"""Attributes that every module has."""


def class_name(module: nn.Module) -> str | None:
    """What files call its class; None for a class that they do not know."""
    kind = type(module)
    if kind is Quantizer:
        return QUANTIZER
    if isinstance(module, fx.GraphModule):
        return "torch.nn.Module"  # its code is saved beside the modules
    if getattr(qnn, kind.__name__, None) is kind and issubclass(kind, qnn.Layer | qnn.Model):
        return f"qfx.nn.{kind.__name__}"
    return f"torch.nn.{kind.__name__}" if module_named(kind.__name__) is kind else None


def _class(name: str) -> type[nn.Module]:
    """The class that files call so.

    Raises:
        ValueError: there is none.
    """
    package, _, short = name.rpartition(".")
    found = module_named(short) if package == "torch.nn" else getattr(qnn, short, None) if package == "qfx.nn" else None
    wanted = nn.Module if package == "torch.nn" else (qnn.Layer, qnn.Model)
    if not isinstance(found, type) or not issubclass(found, wanted):
        raise ValueError(f"{name!r} is no layer that a file may name")
    return cast("type[nn.Module]", found)


def describe(network: nn.Module) -> tuple[dict[str, Any], str]:
    """Modules by their paths, the root under the empty one; and why they cannot be made anew, empty if they can be."""
    reason = ""
    found: dict[str, Any] = {}
    paths: dict[nn.Module, str] = {}
    for path, module in cast("Iterator[tuple[str, nn.Module]]", network.named_modules(remove_duplicate=False)):
        if module in paths:
            found[path] = {"same": paths[module]}
            continue
        paths[module] = path
        name = class_name(module)
        entry: dict[str, Any] = {"class": name or _own_name(module)}
        try:
            entry |= {"settings": settings_of(module) if name else {}, "tensors": _tensors(module)}
        except NotPlain as error:
            entry |= {"settings": {}, "tensors": _tensors(module)}
            reason = reason or f"{path or 'the network'} ({type(module).__name__}) holds {error}, which is no plain value"
        nested = path != "" and isinstance(module, fx.GraphModule)
        if not is_path(path):
            reason = reason or f"{path!r} has a name that code cannot spell"
        if name is None or nested:
            reason = reason or f"{path or 'the network'} is of the class {_own_name(module)}"
        found[path] = entry
    return found, reason


def _own_name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def settings_of(module: nn.Module) -> dict[str, Any]:
    """The plain attributes of a module, as JSON.

    Raises:
        NotPlain: an attribute that is something else.
    """
    if isinstance(module, Quantizer):
        return {"spec": encode(module.spec), "constant": module.constant, "enabled": module.enabled}
    if isinstance(module, fx.GraphModule):
        return {}
    own = {name: value for name, value in vars(module).items() if name not in _BARE and not name.startswith("_")}
    return {name: encode(value) for name, value in own.items()}


def _tensors(module: nn.Module) -> dict[str, Any]:
    """Its own, by name: a `trained` parameter or one that is `kept`, a `buffer`, or `none` in the place of a parameter."""
    parameters = cast("dict[str, nn.Parameter | None]", vars(module)["_parameters"])
    buffers = cast("dict[str, Tensor | None]", vars(module)["_buffers"])
    kinds = {name: "none" if held is None else "trained" if held.requires_grad else "kept" for name, held in parameters.items()}
    return kinds | {name: "buffer" for name, held in buffers.items() if held is not None}


def build(modules: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    """The modules of `describe`, with these tensors, in eval mode.

    Raises:
        ValueError, LookupError, TypeError, QfxError: the data were not written by `describe`.
    """
    made: dict[str, nn.Module] = {}
    for path, entry in modules.items():
        if not is_path(path):
            raise ValueError(f"{path!r} is no path of a module")
        module = made[entry["same"]] if "same" in entry else _made(path, entry, tensors)
        made[path] = module
        if path:
            owner, _, name = path.rpartition(".")
            setattr(made[owner], name, module)
    return made[""].eval()


def _made(path: str, entry: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    inside = f"{path}." if path else ""
    own = {name: kind for name, kind in entry["tensors"].items() if kind != "none"}
    held = {name: tensors[f"{inside}{name}"] for name in own}
    if entry["class"] == QUANTIZER:
        module: nn.Module = _quantizer(entry["settings"], held)
    else:
        module = _bare(_class(entry["class"]), entry["settings"])
    for name, kind in entry["tensors"].items():
        if not name.isidentifier() or name.startswith("__"):
            raise ValueError(f"{name!r} is no name of a tensor")
        _REGISTER[kind](module, name, held.get(name))
    return module


def _parameter(trained: bool) -> Callable[[nn.Module, str, Tensor | None], None]:
    def register(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        module.register_parameter(name, None if tensor is None else nn.Parameter(tensor, requires_grad=trained))

    return register


def _buffer(module: nn.Module, name: str, tensor: Tensor | None) -> None:
    module.register_buffer(name, tensor)


_REGISTER = {"trained": _parameter(True), "kept": _parameter(False), "none": _parameter(False), "buffer": _buffer}


def _quantizer(settings: Mapping[str, Any], held: Mapping[str, Tensor]) -> Quantizer:
    spec = decode(settings["spec"])
    if not isinstance(spec, QuantSpec):
        raise TypeError(f"{spec!r} is no format of a quantizer")
    module = Quantizer(spec, max(1, held["frac"].numel()) if settings["constant"] is True else None)
    wanted = {name: tensor.shape for name, tensor in (*module.named_parameters(), *module.named_buffers())}
    if wanted != {name: tensor.shape for name, tensor in held.items()}:
        raise ValueError("the binary points do not fit the format of their quantizer")
    module.enabled = settings["enabled"] is True
    return module


def _bare(kind: type[nn.Module], settings: Mapping[str, Any]) -> nn.Module:
    """A module with these attributes that no constructor has seen."""
    if kind is qnn.Model:
        module: nn.Module = qnn.Model()
        return module
    module = kind.__new__(kind)
    nn.Module.__init__(module)
    for name, value in settings.items():
        if not name.isidentifier() or name.startswith("_") or name in _BARE or callable(getattr(kind, name, None)):
            raise ValueError(f"{name!r} is no setting of {kind.__name__}")
        vars(module)[name] = decode(value)
    return module
