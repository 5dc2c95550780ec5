"""A user's torch model: `module:factory` and a file of weights, or a saved network."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from qfx.arguments import lies
from qfx.cli.console import message
from qfx.errors import InputError, QfxError
from qfx.files import File
from qfx.frontend.given import check_network
from qfx.frontend.trace import user_line
from qfx.saving import load, load_into
from qfx.settings import nearest


def load_model(spec: str, weights: File | None) -> torch.nn.Module:
    """The model that `module:factory` makes with `weights` loaded, or the one in a file of `qfx.save`, in eval mode.

    Args:
        spec: a module, importable or in the current directory, or a file that ends in `.py`, and a function in it that takes no
            argument; or a file of `qfx.save`.
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
    """The model that `module:factory` makes, or `file.py:factory`.

    The user's code can import what lies beside it. What it prints goes to the standard error, and where it goes on the disk ends
    with it.

    Raises:
        InputError: there is no such module or factory, it fails, or what it makes is no network.
    """
    home, colon, name = spec.rpartition(":")
    if not (home and colon and name):
        raise InputError(f"{spec!r} does not name a model; write module:factory, such as models:make_net")
    is_file = home.endswith(".py")
    folder = Path(home).resolve().parent if is_file else Path.cwd()
    if is_file and not lies(Path(home).is_file):
        raise InputError(f"{spec!r} does not name a model: there is no file {home}")
    with _user_code(f"importing {home}", folder):
        module = _module_of(Path(home)) if is_file else importlib.import_module(home)
    factory: Any = getattr(module, name, None)
    if not callable(factory):
        functions = [known for known, value in vars(module).items() if inspect.isfunction(value)]
        raise InputError(f"module {home} has no function {name}{nearest(name, functions)}")
    if isinstance(factory, torch.nn.Module):
        raise InputError(f"{spec} is a network; name a function without arguments that makes it")
    with _user_code(f"{spec}()", folder):
        model = factory()
    return check_network(model, f"what {spec}() made")


def _module_of(file: Path) -> ModuleType:
    spec: Any = importlib.util.spec_from_file_location(file.stem, file.resolve())  # there is a loader for the ending .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # as dataclasses want it
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _user_code(what: str, folder: Path) -> Generator[None]:
    """Modules in `folder` can be imported, the first of all here and the last ever after, as a forward may do. Any failure inside
    becomes an InputError that names the user's line.
    """
    here, beside = Path.cwd(), str(folder)
    sys.path.insert(0, beside)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except QfxError:
        raise
    except (Exception, SystemExit) as error:
        line, _ = user_line(error)
        text = f"{type(error).__name__}: {str(error).strip()}".removesuffix(": ")
        raise InputError(f"{what} failed: {text}{f' ({line})' if line else ''}") from error
    finally:
        os.chdir(here)
        if beside in sys.path:
            sys.path.remove(beside)
        if beside not in sys.path:
            sys.path.append(beside)
