"""`doctor`: what this machine has of what QFX uses, what it lacks, and what to do about that."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from qfx import notebook
from qfx._version import __version__
from qfx.cache import default_cache
from qfx.errors import InputError, ToolMissingError
from qfx.sim.csim import find_compiler
from qfx.sim.headers import find_ap_types

PACKAGES = ("jinja2", "numpy", "onnx", "onnxruntime", "platformdirs", "rich", "safetensors", "torch", "typer")
"""What every part of QFX together needs; pyproject.toml has the versions."""

EXTRAS = {
    "demo": ("scikit-learn",),
    "validate": ("tree-sitter", "tree-sitter-cpp"),
    "tensorboard": ("tensorboard",),
    "brevitas": ("brevitas",),
}
"""Extra -> its packages."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked for.

    Attributes:
        name: what it is.
        here: whether it can be used.
        found: its version or place; of what is missing the reason.
        needed: whether something cannot be done without it.
        advice: what to do; empty for what is here.
    """

    name: str
    here: bool
    found: str
    needed: bool = True
    advice: str = ""

    @property
    def state(self) -> str:
        """`ok`, `missing`, or `absent` for what can be done without."""
        return "ok" if self.here else "missing" if self.needed else "absent"


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What `doctor` found; it prints as a line for each check."""

    checks: tuple[Check, ...]

    @property
    def complete(self) -> bool:
        """Whether all that is needed is here."""
        return all(check.here for check in self.checks if check.needed)

    def __repr__(self) -> str:
        names, states = (max(map(len, column)) for column in zip(*((c.name, c.state) for c in self.checks), strict=True))
        lines = [
            f"{check.state:{states}}  {check.name:{names}}  {check.found}{f'; {check.advice}' if check.advice else ''}"
            for check in self.checks
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """For notebooks: a row for each check."""
        rows = [(check.state, check.name, check.found, check.advice) for check in self.checks]
        return notebook.table("What this machine has and lacks", ("", "what", "found", "what to do"), rows)


def doctor() -> Diagnosis:
    """Look for all that QFX uses: packages, the C++ compiler and headers of C simulation, the compiled kernel, the cache, extras.

    The kernel is compiled if it was not yet. Nothing is downloaded, installed or removed.
    """
    return Diagnosis(tuple(_checks()))


def _checks() -> Iterator[Check]:
    yield Check("QFX", True, f"{__version__} at {Path(__file__).parent}")
    yield Check("Python", True, platform.python_version())
    yield from (_package(name) for name in PACKAGES)
    yield _compiler()
    yield _headers()
    yield _kernel()
    yield _cache()
    yield from (_extra(name) for name in EXTRAS)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Check:
    """A package that is installed and can be imported; of onnxruntime and the like the version alone does not tell that."""
    version = _version(name)
    if version is None:
        return Check(name, False, "not installed", advice=f"pip install {name}")
    try:
        importlib.import_module(name)
    except Exception as error:  # a broken installation may raise anything
        return Check(name, False, f"{version} cannot be imported: {_line(error)}", advice=f"pip install --force-reinstall {name}")
    return Check(name, True, version)


def _compiler() -> Check:
    try:
        return Check("C++ compiler", True, find_compiler())
    except ToolMissingError as error:
        return Check("C++ compiler", False, *_reason(error))


def _headers() -> Check:
    try:
        return Check("ap_types headers", True, find_ap_types().description)
    except ToolMissingError as error:
        return Check("ap_types headers", False, *_reason(error))


def _kernel() -> Check:
    """The casts in C; torch computes the same without, slower."""
    if importlib.util.find_spec("torch") is None:
        return Check("CPU kernel", False, "torch is not installed", needed=False)
    kernel: Any = importlib.import_module("qfx.quant.kernel")
    status: str = kernel.status()
    if kernel.library() is not None:
        return Check("CPU kernel", True, status)
    off = os.environ.get("QFX_KERNEL") == "0"
    advice = "unset QFX_KERNEL to use it" if off else "training is several times slower without; install a C compiler"
    return Check("CPU kernel", False, status, needed=False, advice=advice)


def _cache() -> Check:
    """The nearest folder that exists decides whether the cache can be written."""
    try:
        folder = default_cache()
    except InputError as error:
        return Check("cache folder", False, *_reason(error))
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if os.access(nearest, os.W_OK):
        return Check("cache folder", True, str(folder))
    advice = "QFX compiles everything anew; set QFX_CACHE to a folder that can be written"
    return Check("cache folder", False, f"{folder} cannot be written", needed=False, advice=advice)


def _extra(name: str) -> Check:
    versions = {package: _version(package) for package in EXTRAS[name]}
    missing = [package for package, version in versions.items() if version is None]
    if missing:
        return Check(f"extra {name}", False, f"{', '.join(missing)} not installed", False, f"pip install 'qfx[{name}]'")
    return Check(f"extra {name}", True, ", ".join(f"{package} {version}" for package, version in versions.items()))


def _reason(error: Exception) -> tuple[str, bool, str]:
    """What is missing, that it is needed, and what to do, of a message that says both."""
    found, _, advice = str(error).partition("; ")
    return found, True, advice


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
