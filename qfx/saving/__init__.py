"""`save` and `load`: a network in one file. Nothing in it is pickled, and reading one executes nothing that it brings.

The file is one of safetensors (`tensor_file`): every parameter and buffer by its name, and a JSON document with all else that
decides a value: per layer its class and settings, per quantizer its format, and the calls of a converted network (`modules`,
`plain`, `fx_code`). What it names are layers of `qfx.nn` and the rows of the front end's table of calls (`callables`). `load` takes
state dicts, too (`state_file`), for a network that is there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn

from qfx import arguments
from qfx._version import __version__
from qfx.annotations import explained
from qfx.conversion.converted import Converted
from qfx.errors import InputError, StateError
from qfx.files import File
from qfx.frontend.given import check_network
from qfx.nn.state_dict import misplaced
from qfx.saving.fx_code import build_graph, describe_graph
from qfx.saving.match import check_match
from qfx.saving.modules import build, describe
from qfx.saving.plain import NotPlain
from qfx.saving.state_file import is_torch_file, load_state, read_torch_file
from qfx.saving.tensor_file import read_tensors, write_tensors

__all__ = ["load", "save"]

FORMAT = 1

Result = TypeVar("Result")


@explained
def save(network: nn.Module, path: File) -> None:
    """Write a network to a file, complete or not at all: parameters, buffers, formats, settings of its layers.

    Args:
        network: a converted one, one of `qfx.nn` layers in `nn.Sequential` or `qfx.nn.Model`, or of a class of your own.
        path: the file to write or replace.

    Raises:
        InputError: no network, no path, a tensor of a dtype that cannot be saved, such as complex numbers.
        WriteError: the file cannot be written.
    """
    path = arguments.path("the file", path)
    modules, reason = describe(check_network(network))
    code = None
    if isinstance(network, fx.GraphModule):
        try:
            code = describe_graph(network.graph)
        except NotPlain as error:
            reason = reason or f"its code holds {error}, which is no call that a file may name"
    document = {
        "format": FORMAT,
        "qfx_version": __version__,
        "name": type(network).__name__,
        "reason": reason,
        "modules": modules,
        "code": code,
    }
    write_tensors(path, _tensors(network), document)


@explained
def load(path: File, model: nn.Module | None = None) -> nn.Module:
    """The network that `save` wrote, or a state dict in a network.

    Args:
        path: the file of `save`; with a model also that of a state dict, as torch.save or safetensors write it.
        model: a network to load into: its layers and formats have to be those of the file. None to make the network anew, which a
            network of a class of your own does not allow.

    Returns:
        the network in eval mode, on the CPU; or `model`, in the mode and on the device that it had.

    Raises:
        InputError: a file that cannot be read, is damaged or of another version; one that cannot be made anew, with the class that
            it wants; a model whose layers or formats differ, with both. Nothing is loaded then.
    """
    if model is None:
        return _network(path)
    note = load_into(model, path)
    if note:
        warnings.warn(note, stacklevel=2)
    return model


def load_into(model: nn.Module, path: File) -> str:
    """Load a file into a network, as `load` does; returns what there is to say about it, mostly nothing."""
    tensors, document = _read(path)
    if document is None:
        return load_state(model, tensors, path)
    _guarded(path, lambda: _load_into(model, tensors, document, path))
    return ""


def _network(path: File) -> nn.Module:
    """The network of a file, made anew."""
    tensors, document = _read(path)
    if document is None:
        raise InputError(
            f"{path} holds a state dict, which does not say how its network is made; make one, and load into it:"
            " qfx.load(path, network), or module:factory and --weights on the command line; qfx.save(network, path) keeps both"
        )
    if document.get("reason"):
        raise InputError(
            f"{path} does not say how its network is made: {document['reason']}; make one, and load into it:"
            " qfx.load(path, network), or module:factory and --weights on the command line"
        )
    return _guarded(path, lambda: _made(tensors, document))


def _read(path: File) -> tuple[Mapping[str, Any], dict[str, Any] | None]:
    """Tensors and document of a file; no document with a state dict."""
    if is_torch_file(path):
        return read_torch_file(path), None
    tensors, document = read_tensors(path)
    if document is not None and document.get("format") != FORMAT:
        raise InputError(f"{path} has format {document.get('format')!r}; this QFX reads format {FORMAT}")
    return tensors, document


def _guarded(path: File, make: Callable[[], Result]) -> Result:
    """What `make` returns; errors of what a file says are those of the file."""
    try:
        return make()
    except InputError:
        raise
    except Exception as error:  # torch.fx raises what it likes about a graph that nobody has traced
        raise InputError(f"{path} does not hold a network that QFX has saved: {error}; save it again") from error


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by its name; what is shared, under each of its names."""
    parameters = dict(network.named_parameters(remove_duplicate=False))
    return {**parameters, **dict(network.named_buffers(remove_duplicate=False))}


def _made(tensors: Mapping[str, Tensor], document: dict[str, Any]) -> nn.Module:
    root = build(document["modules"], tensors)
    if document["code"] is None:
        return root
    name = document["name"]
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{name!r} is no name of a network")
    return Converted(root, build_graph(document["code"], root), name).eval()


def _load_into(model: nn.Module, tensors: Mapping[str, Tensor], document: dict[str, Any], path: File) -> None:
    """Everything is compared before anything is changed."""
    own = _tensors(model)
    advice = misplaced(model, own, tensors)
    if advice is not None:
        raise StateError(f"{path} {advice}")
    quantizers = check_match(model, own, tensors, document["modules"], path)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    for quantizer, enabled in quantizers:
        quantizer.enabled = enabled
