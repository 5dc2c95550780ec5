"""`save` and `load`: a network in one file. Nothing in it is pickled, and reading one executes nothing that it brings.

The file has the layout of safetensors (`tensor_file`): every parameter and buffer by its name, and a JSON document with all else
that decides a value: per layer its class and settings, per quantizer its format, and the calls of a converted network (`modules`,
`plain`, `fx_code`). What it names are layers of `qfx.nn` and the rows of the front end's table of calls (`callables`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from qfx._version import __version__
from qfx.conversion.converted import Converted
from qfx.errors import InputError
from qfx.files import File
from qfx.saving.fx_code import build_graph, describe_graph
from qfx.saving.match import check_match
from qfx.saving.modules import build, describe
from qfx.saving.plain import NotPlain
from qfx.saving.tensor_file import read_tensors, write_tensors

__all__ = ["load", "save"]

FORMAT = 1


def save(network: nn.Module, path: File) -> None:
    """Write a network to a file, complete or not at all: parameters, buffers, formats, settings of its layers.

    Args:
        network: a converted one, one of `qfx.nn` layers in `nn.Sequential` or `qfx.nn.Model`, or of a class of your own.
        path: the file to write or replace.

    Raises:
        InputError: a tensor of a dtype that cannot be saved, such as complex numbers.
    """
    modules, reason = describe(network)
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


def load(path: File, model: nn.Module | None = None) -> nn.Module:
    """The network that `save` wrote.

    Args:
        path: the file.
        model: a network to load into: its layers and formats have to be those of the file. None to make the network anew, which a
            network of a class of your own does not allow.

    Returns:
        the network in eval mode, on the CPU; or `model`, in the mode and on the device that it had.

    Raises:
        InputError: a file that cannot be read, is damaged or of another version; one that cannot be made anew, with the class that
            it wants; a model whose layers or formats differ, with both.
    """
    tensors, document = read_tensors(path)
    if document.get("format") != FORMAT:
        raise InputError(f"{path} has format {document.get('format')!r}; this QFX reads format {FORMAT}")
    try:
        if model is not None:
            _load_into(model, tensors, document, path)
            return model
        if document["reason"]:
            raise InputError(
                f"{path} does not say how its network is made: {document['reason']}; make one, and load into it:"
                " qfx.load(path, model)"
            )
        return _made(tensors, document)
    except InputError:
        raise
    except Exception as error:  # torch.fx raises what it likes about a graph that nobody has traced
        raise InputError(f"{path} does not hold a network that QFX has saved: {error}; save it again") from error


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by its name; what is shared, under each of its names."""
    parameters = dict(network.named_parameters(remove_duplicate=False))
    return {**parameters, **dict(network.named_buffers(remove_duplicate=False))}


def _made(tensors: dict[str, Tensor], document: dict[str, Any]) -> nn.Module:
    root = build(document["modules"], tensors)
    if document["code"] is None:
        return root
    name = document["name"]
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{name!r} is no name of a network")
    return Converted(root, build_graph(document["code"], root), name).eval()


def _load_into(model: nn.Module, tensors: dict[str, Tensor], document: dict[str, Any], path: File) -> None:
    """Everything is compared before anything is changed."""
    own = _tensors(model)
    quantizers = check_match(model, own, tensors, document["modules"], path)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    for quantizer, enabled in quantizers:
        quantizer.enabled = enabled
