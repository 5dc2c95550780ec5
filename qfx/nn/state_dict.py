"""Whether a state dict fits a network, before anything of it is loaded.

`fitted` compares names, sizes and formats and lists every difference. Where none of it fits it says what the state dict is instead,
in a line: a checkpoint around it, names with a prefix, the weights of a float model.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, cast

from torch import nn

from qfx.errors import StateError
from qfx.quant import Quantizer
from qfx.quant.stated import KEY, SOURCE, UNKNOWN, Stated, unknown

State = Mapping[str, Any]

SHOWN = 6
"""Names of one kind that a message lists; formats are listed all."""

PREFIXES = {"module.": "DistributedDataParallel", "_orig_mod.": "torch.compile", "model.": "Lightning"}
"""What puts them before names."""

SETTINGS = {
    "weight_quant": "weights",
    **dict.fromkeys(("bias_quant", "scale_quant", "offset_quant", "slope_quant"), "constants"),
    **dict.fromkeys(("a", "b"), "pre_add"),
    "quant": "activations",
}
"""Quantizer of a layer -> the key of a conversion's configuration that its format follows from."""


def fitted(network: nn.Module, state: Any, strict: bool = True, source: str = SOURCE) -> tuple[State, str]:
    """The state dict to load, and what there is to say about it, which is mostly nothing.

    Args:
        network: to load into.
        state: the state dict; formats that it does not have, since an older QFX wrote it, are put in.
        strict: whether names that only one side has are differences, as torch has it.
        source: what it is called in messages.

    Raises:
        StateError: it does not fit.
    """
    if not isinstance(state, Mapping):
        raise StateError(f"{source} holds a {type(state).__name__}; save model.state_dict()")
    given = cast("State", state)
    own: State = network.state_dict()
    # Hooks of others may rename what a state dict holds, as those of torch.nn.utils do.
    named = not any(len(vars(module)["_load_state_dict_pre_hooks"]) for module in network.modules())
    advice = misplaced(network, own, given, strict) if named else None
    if advice is not None:
        raise StateError(f"{source} {advice}")
    stated = _stated(network)
    formats = [difference for prefix, module in stated for difference in module.format_differences(given, prefix)]
    others = [*_sizes(own, given), *(_names(own, given) if strict and named else ())]
    if formats or others:
        listed = [line.replace(f": {SOURCE} has ", f": {source} has ", 1) for line in (*formats, *others)]
        hint = [_hint(formats)] if formats else []
        raise StateError("\n  ".join([f"{source} does not fit {type(network).__name__}:", *listed, *hint]))
    return _completed(stated, given, source)


def misplaced(network: nn.Module, own: State, state: State, strict: bool = True) -> str | None:
    """What a state dict is instead of that of the network, and what to do; None where it may be that.

    Args:
        own: the network's.
        strict: whether all of the network's names are wanted.
    """
    if not own:
        return None
    if not state:
        return "is empty; save model.state_dict()" if strict else None
    odd = [key for key in state if not isinstance(key, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
    if odd:
        return f"has {odd[0]!r} among its keys, which is no name of a tensor; save model.state_dict()"
    points = {f"{path}.{name}" for path, module in _quantizers(network) for name in module.state_dict()}
    weights = own.keys() - points - {key for key in own if key.endswith(KEY)} or own.keys()
    if not own.keys() & state.keys():
        return _wrapped(own, weights, state)
    if points and strict and not points & state.keys():
        return (
            "has the weights of a float model and no binary points; load it into the float model, and convert that with qfx.convert"
        )
    if not points and strict and any(key.endswith(KEY) for key in state):
        return (
            "is that of a network with formats, and the model has none; make the network that was trained, with qfx.convert or of"
            " qfx.nn layers, and load into that"
        )
    return None


def _quantizers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    named = cast("Iterator[tuple[str, nn.Module]]", network.named_modules(remove_duplicate=False))
    return ((path, module) for path, module in named if isinstance(module, Quantizer))


def _stated(network: nn.Module) -> Sequence[tuple[str, Stated]]:
    """The modules with a format, and the prefix of their keys."""
    named = cast("Iterator[tuple[str, nn.Module]]", network.named_modules(remove_duplicate=False))
    return [(f"{path}." if path else "", module) for path, module in named if isinstance(module, Stated)]


def _wrapped(own: State, weights: Set[str], state: State) -> str | None:
    """No name fits: those inside a checkpoint may, or without a prefix on one side."""
    prefix = _prefix(weights, state)
    if prefix:
        who = PREFIXES.get(prefix, "")
        named = f", as {who} has them" if who else ""
        return f"has {prefix!r} before its names{named}; load {_stripped(prefix, 'state_dict')}"
    for key, inside in state.items():
        if isinstance(inside, Mapping) and inside:
            held = cast("State", inside)
            prefix = "" if weights & held.keys() else _prefix(weights, held)
            if prefix or weights & held.keys():
                place = f"checkpoint[{key!r}]"
                before = f", with {prefix!r} before its names" if prefix else ""
                return (
                    f"is a checkpoint, whose state dict lies under {key!r}{before}; load"
                    f" {_stripped(prefix, place) if prefix else place}"
                )
    common = next(iter(own)).partition(".")[0] + "."
    if all(name.startswith(common) for name in own) and {name.removeprefix(common) for name in weights} & state.keys():
        return f"has no {common!r} before its names, as the network has; load it into network.{common[:-1]}"
    return None


def _prefix(weights: Set[str], state: State) -> str:
    """What stands before the names of the weights in a state dict; empty where they do not stand there."""
    first = min(weights, key=lambda name: (len(name), name))
    for key in state:
        if isinstance(key, str) and key.endswith(f".{first}"):  # pyright: ignore[reportUnnecessaryIsInstance]
            prefix = key.removesuffix(first)
            if 2 * len({prefix + name for name in weights} & state.keys()) >= len(weights):
                return prefix
    return ""


def _stripped(prefix: str, place: str) -> str:
    """The expression that takes a prefix off."""
    return f"{{name.removeprefix({prefix!r}): tensor for name, tensor in {place}.items()}}"


def _sizes(own: State, state: State) -> Iterator[str]:
    for name in (name for name in own if name in state):
        here, there = tuple(own[name].shape), tuple(getattr(state[name], "shape", ()))
        if here != there and not name.endswith(KEY) and (here, there) != ((), (1,)):  # which torch takes for a scalar
            yield f"{name}: {SOURCE} has {list(there)}; the network has {list(here)}"


def _names(own: State, state: State) -> Iterator[str]:
    """Those that only one side has; formats of layers that are there are compared as such."""
    for what, names in (("lacks", own.keys() - state.keys()), ("alone has", state.keys() - own.keys())):
        listed = sorted(name for name in names if what == "alone has" or not name.endswith(KEY))
        if listed:
            more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
            yield f"it {what} {', '.join(listed[:SHOWN])}{more}"


def _hint(formats: Sequence[str]) -> str:
    found = {SETTINGS.get(line.partition(":")[0].rpartition(".")[2]) for line in formats} - {None}
    keys = f" ({', '.join(sorted(map(str, found)))} in the configuration of a conversion)" if found else ""
    return f"make the network with the formats that were saved{keys}; qfx.save keeps them, and qfx.load makes the network"


def _completed(stated: Sequence[tuple[str, Stated]], state: State, source: str) -> tuple[State, str]:
    """With the network's own formats where the state dict says none."""
    silent = {f"{prefix}{KEY}": module for prefix, module in stated if f"{prefix}{KEY}" not in state}
    if not silent:
        return state, ""
    odd = any(unknown(module, state, key.removesuffix(KEY)) for key, module in silent.items())
    full: OrderedDict[str, Any] = OrderedDict(state)
    full.update({key: module.get_extra_state() for key, module in silent.items()})
    metadata = getattr(state, "_metadata", None)
    if metadata is not None:
        full._metadata = metadata  # pyright: ignore[reportAttributeAccessIssue]  torch's own place for it
    return full, f"{source} {UNKNOWN}" if odd else ""
