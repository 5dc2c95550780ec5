"""A user's torch model: `module:factory` and a file of weights, or a saved network."""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from qfx.cli.console import message
from qfx.errors import InputError, QfxError
from qfx.files import File
from qfx.saving import load, load_into


def load_model(spec: str, weights: File | None) -> torch.nn.Module:
    """The model that `module:factory` makes with `weights` loaded, or the one in a file of `qfx.save`, in eval mode.

    Args:
        spec: a module, importable or in the current directory, and a function in it that takes no argument; or a file.
        weights: a state dict, or a network that was saved, whose formats have to be those of the model; None with a file.

    Raises:
        InputError: the module, the factory, the file or the weights do not fit.
    """
    if is_saved(spec):
        if weights is not None:
            raise InputError(f"{spec} is a file, and a saved network has its weights; leave out --weights, or give module:factory")
        return load(spec)
    if weights is None and ":" in spec:
        raise InputError(f"{spec} makes a model, but its weights are missing; give --weights FILE, or a file of qfx.save for both")
    if weights is None:
        raise InputError(f"there is no file {spec}; give a network that qfx.save wrote, or module:factory and --weights FILE")
    model = make_model(spec)
    note = load_into(model, weights)
    if note:
        message(f"note: {note}")
    return model.eval()


def is_saved(spec: str) -> bool:
    """Whether an argument names a file, rather than `module:factory`."""
    return Path(spec).is_file()


def make_model(spec: str) -> torch.nn.Module:
    """The model that `module:factory` makes.

    Raises:
        InputError: there is no such module or factory, it fails, or what it makes is no torch module.
    """
    module_name, colon, factory_name = spec.partition(":")
    if not (module_name and colon and factory_name):
        raise InputError(f"{spec!r} does not name a model; write module:factory, such as models:make_net")
    with _user_code(f"importing {module_name}"), _current_directory():
        module = importlib.import_module(module_name)
    factory: Any = getattr(module, factory_name, None)
    if not callable(factory):
        raise InputError(f"module {module_name} has no function {factory_name}")
    with _user_code(f"{spec}()"), _current_directory():
        model = factory()
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"{spec}() made an object of type {type(model).__name__}, not a torch.nn.Module")
    return model


@contextlib.contextmanager
def _current_directory() -> Generator[None]:
    """Modules in the current directory can be imported."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.remove(str(Path.cwd()))


@contextlib.contextmanager
def _user_code(what: str) -> Generator[None]:
    """Any failure inside becomes a InputError that names the user's line."""
    try:
        yield
    except QfxError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        raise InputError(f"{what} failed: {type(error).__name__}: {error}{where}") from error
