"""A user's torch model: `module:factory` and a file of weights."""

from __future__ import annotations

import contextlib
import importlib
import pickle
import sys
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import torch

from qfx.errors import InputError, QfxError
from qfx.files import File


def load_model(spec: str, weights: File) -> torch.nn.Module:
    """The model that `module:factory` makes, with `weights` loaded, in eval mode.

    Args:
        spec: a module, importable or in the current directory, and a function in it that takes no argument.
        weights: a state dict, as `torch.save(model.state_dict(), file)` writes it; read without pickled code.

    Raises:
        InputError: the module, the factory or the weights do not fit.
    """
    model = make_model(spec)
    try:
        state: Any = torch.load(weights, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {weights}") from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{weights} is no state dict that torch.load reads with weights_only=True: {_first_line(error)}"
        ) from error
    if not isinstance(state, dict):
        raise InputError(f"{weights} holds a {type(state).__name__}; save model.state_dict()")
    try:
        model.load_state_dict(cast("dict[str, Any]", state))
    except RuntimeError as error:
        raise InputError(f"{weights} does not fit the model of {spec}: {error}") from error
    return model.eval()


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


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
