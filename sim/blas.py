"""How many threads the BLAS behind NumPy uses.

The simulator runs a block of samples per core. Its matrix products are small, and OpenBLAS loses most of its speed if it splits
each of them over all cores as well, so it is told to use one thread meanwhile. With any other BLAS nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import threading
from collections.abc import Callable, Generator

_MODULES = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")
"""NumPy's compiled core, since and before 2.0; OpenBLAS is among the libraries it was linked with."""

_NAMES = ("scipy_openblas_{}64_", "openblas_{}64_", "openblas_{}")
"""How builds of OpenBLAS name their functions."""

_lock = threading.Lock()
_users = 0
_before = 0


@contextlib.contextmanager
def one_thread() -> Generator[None]:
    """OpenBLAS works in the calling thread alone, in the whole process, until the last such block ends."""
    global _users, _before
    control = _control()
    if control is None:
        yield
        return
    get, set = control
    with _lock:
        if _users == 0:
            _before = get()
            set(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                set(_before)


@functools.cache
def _control() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """OpenBLAS' functions that read and set the number of threads; None without OpenBLAS."""
    for module in _MODULES:
        try:
            library = ctypes.CDLL(importlib.import_module(module).__file__)
        except (ImportError, OSError):
            continue
        for name in _NAMES:
            get, set = (getattr(library, name.format(f"{verb}_num_threads"), None) for verb in ("get", "set"))
            if get is not None and set is not None:
                return get, set
    return None
