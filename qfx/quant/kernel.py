"""The CPU kernel: the cast and the batch normalisation of training in C, one pass over memory each.

`kernel.c` is compiled on first use with the system's compiler and kept by the content of all that decides what it does. Where
there is no compiler, or it fails, or QFX_KERNEL=0 says so, torch computes the same, several times slower; `status()` tells.
The kernel is used for float32 and float64 on the CPU, with as many threads as `torch.get_num_threads()` says.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from qfx.cache import Cache, default_cache
from qfx.errors import InputError
from qfx.files import joint_hash, scratch
from qfx.fixed import Overflow, Rounding
from qfx.quant.khot import limits
from qfx.quant.once import making
from qfx.quant.spec import QuantSpec
from qfx.quant.tracing import recording

SOURCES = ("kernel.c", "loops.h")
COMMON = ("-O3", "-shared", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
FLAGS = (("-march=native", "-fopenmp"), ("-fopenmp",), ())
"""Beside COMMON; the first that compiles is taken."""
ROUNDINGS = ("RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV", "TRN", "TRN_ZERO")
K_HOT = len(ROUNDINGS)
BLOCK = 4096
"""Elements that one thread takes at a time; the same in kernel.c."""
SUFFIX = {torch.float32: "f32", torch.float64: "f64"}


class _Format(ctypes.Structure):
    _fields_ = (
        ("rounding", ctypes.c_int32),
        ("digits", ctypes.c_int32),
        ("most", ctypes.c_int32),
        ("relu", ctypes.c_int32),
        ("low", ctypes.c_double),
        ("high", ctypes.c_double),
        ("inside_low", ctypes.c_double),
        ("inside_high", ctypes.c_double),
    )


class _Operand(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in ("x", "scale", "offset", "frac", "to"))


@dataclass(frozen=True)
class Operand:
    """What `sum_cast` adds: x, or scale[c] * x + offset[c], cast where there is a format.

    Attributes:
        x: (batch, channel, ...), float32.
        affine: scale and offset (channel,), float64.
        cast: real binary point (), float32, and format.
    """

    x: Tensor
    affine: tuple[Tensor, Tensor] | None = None
    cast: tuple[Tensor, QuantSpec] | None = None


_enabled: ContextVar[bool] = ContextVar("whether kernels are wanted", default=os.environ.get("QFX_KERNEL", "1") != "0")


class _Loaded:
    """What became of the kernel."""

    library: ctypes.CDLL | None = None
    message = "not loaded yet"
    tried = False


@contextmanager
def using(kernel: bool) -> Generator[None]:
    """Compute with the kernel, or without it, inside the block and in this thread."""
    token = _enabled.set(kernel)
    try:
        yield
    finally:
        _enabled.reset(token)


def enabled() -> bool:
    """Whether kernels are wanted at all, this one and those of a GPU."""
    return _enabled.get()


def status() -> str:
    """What is used: the compiled file, or why there is none."""
    if not enabled():
        return "the kernel is switched off"
    library()
    return _Loaded.message


def library() -> ctypes.CDLL | None:
    """The compiled kernel; None if it is switched off or cannot be made."""
    if not enabled():
        return None
    if not _Loaded.tried:
        with making:
            _try()
    return _Loaded.library


def _try() -> None:
    """Load the library, unless another thread has just done so."""
    if _Loaded.tried:
        return
    try:
        _Loaded.library = _load()
    except (OSError, subprocess.SubprocessError, InputError) as error:
        _Loaded.message = f"torch computes the casts, since the kernel cannot be made: {error}"
    _Loaded.tried = True


def serves(*tensors: Tensor) -> bool:
    """Whether the kernel can compute with these: plain CPU tensors of one supported dtype, and nobody records."""
    first = tensors[0].dtype
    return (
        first in SUFFIX
        and all(t.dtype == first and t.device.type == "cpu" and type(t) in (Tensor, nn.Parameter) for t in tensors)
        and not recording()
        and library() is not None
    )


def serves_spec(spec: QuantSpec) -> bool:
    """Whether the kernel knows this cast."""
    return spec.overflow in (Overflow.SAT, Overflow.SAT_SYM)


def dense(x: Tensor) -> Tensor:
    """`x` with all its elements in one run of memory, in whatever order of axes."""
    if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous()


def like(x: Tensor, other: Tensor) -> Tensor:
    """`x` in the order of memory that `other` has."""
    return x if x.stride() == other.stride() else torch.empty_like(other).copy_(x)


def cast(x: Tensor, frac: Tensor, spec: QuantSpec, relu: bool, narrow: bool) -> Tensor:
    """`spec`'s values nearest to x; x is dense, and contiguous if frac has an entry per channel.

    With `narrow` a float64 x with one binary point gives float32.
    """
    narrow = narrow and x.dtype == torch.float64 and frac.dim() == 0
    q = torch.empty_like(x, dtype=torch.float32 if narrow else x.dtype)
    pointers, to = (x.data_ptr(), q.data_ptr(), frac.data_ptr()), ctypes.byref(_format(spec, relu))
    if narrow:
        _loaded().cast_narrowing(*pointers, x.numel(), to, torch.get_num_threads())
    else:
        rows = frac.numel()
        _function("cast", x)(*pointers, rows, x.numel() // rows if rows else 0, to, torch.get_num_threads())
    return q


def cast_backward(grad: Tensor, x: Tensor, frac: Tensor, spec: QuantSpec, relu: bool) -> tuple[Tensor, Tensor]:
    """Gradients of x and frac, from that of the result; all in the order of memory of x."""
    dx, dfrac = torch.empty_like(x), torch.empty_like(frac)
    rows = frac.numel()
    columns = x.numel() // rows if rows else 0
    sums = torch.empty(rows * -(-columns // BLOCK), dtype=torch.float64, device=x.device)
    pointers = [tensor.data_ptr() for tensor in (grad, x, frac, dx, dfrac, sums)]
    function = _function("cast_backward", x)
    function(*pointers, rows, columns, ctypes.byref(_format(spec, relu)), torch.get_num_threads())
    return dx, dfrac


def channel_sums(x: Tensor, grad: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Per channel (axis 1) in float64: sums of grad and of grad * x; without grad those of d and of d * d, d = x - x[0, c, 0...].

    x and grad are contiguous.
    """
    samples, channels = x.shape[:2]
    first = torch.empty(channels, dtype=torch.float64, device=x.device)
    second = torch.empty_like(first)
    pointers = (x.data_ptr(), None if grad is None else grad.data_ptr(), first.data_ptr(), second.data_ptr())
    _function("channel_sums", x)(*pointers, samples, channels, _image(x), torch.get_num_threads())
    return first, second


def affine(x: Tensor, scale: Tensor, offset: Tensor, grad: Tensor | None = None, slope: Tensor | None = None) -> Tensor:
    """scale[c] * x + offset[c] (+ slope[c] * grad) per channel (axis 1), in the dtype of x; all contiguous."""
    y = torch.empty_like(x)
    extra = (None, None) if grad is None or slope is None else (grad.data_ptr(), slope.data_ptr())
    pointers = (x.data_ptr(), extra[0], y.data_ptr(), scale.data_ptr(), offset.data_ptr(), extra[1])
    _function("affine", x)(*pointers, x.shape[0], x.shape[1], _image(x), torch.get_num_threads())
    return y


def affine_widening(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """scale[c] * x + offset[c] in float64, from float32; all contiguous."""
    y = torch.empty_like(x, dtype=torch.float64)
    pointers = (x.data_ptr(), y.data_ptr(), scale.data_ptr(), offset.data_ptr())
    _loaded().affine_widening(*pointers, x.shape[0], x.shape[1], _image(x), torch.get_num_threads())
    return y


def sum_cast(operands: Sequence[Operand], frac: Tensor, spec: QuantSpec, relu: bool) -> Tensor:
    """The cast of the operands' sum, of its positive part with `relu`, to at most 24 bits; float32.

    One operand, or several that are cast themselves or not scaled. Only where every step before a cast is proved exact in float64,
    and the sum in float32.

    Args:
        operands: contiguous, of one shape (batch, channel, ...).
        frac: float32, a scalar.
    """
    x, to = operands[0].x, _above_zero(spec) if relu else _format(spec, False)
    last: tuple[int | None, int | None] = (frac.data_ptr(), ctypes.addressof(to))
    table = (_Operand * len(operands))(*map(_pointers, operands))
    if operands[0].cast is None and operands[0].affine is not None:  # the last cast is its own
        (table[0].frac, table[0].to), last = last, (None, None)
    q = torch.empty_like(x)
    _loaded().sum_cast(table, len(table), q.data_ptr(), *last, x.shape[0], x.shape[1], _image(x), torch.get_num_threads())
    return q


def _pointers(operand: Operand) -> tuple[int | None, ...]:
    scale, offset = operand.affine or (None, None)
    frac, spec = operand.cast or (None, None)
    tensors = (operand.x, scale, offset, frac)
    to = None if spec is None else ctypes.addressof(_format(spec, False))
    return *(None if tensor is None else tensor.data_ptr() for tensor in tensors), to


def same_bytes(addresses: Tensor, copies: Tensor, sizes: Tensor) -> bool:
    """Whether the memory at `addresses` holds what that at `copies` does; int64, sizes in bytes."""
    return bool(_loaded().same_bytes(addresses.data_ptr(), copies.data_ptr(), sizes.data_ptr(), len(sizes)))


def _image(x: Tensor) -> int:
    return math.prod(x.shape[2:])


@cache
def _format(spec: QuantSpec, relu: bool) -> _Format:
    type = spec.type(0)
    if spec.k_hot is not None:
        low, high, (least, largest), most = limits(spec.k_hot, type, spec.max_exponent)
        return _Format(K_HOT, spec.k_hot, most, relu, low, high, least - 1, largest + 1)
    low = type.min_int
    if spec.overflow is Overflow.SAT_SYM and type.signed:
        low = -type.max_int if type.width > 1 else -1
    return _Format(ROUNDINGS.index(spec.rounding.name), 0, 0, relu, low, type.max_int)


@cache
def _above_zero(spec: QuantSpec) -> _Format:
    """The format of max(x, 0): zero is a code, and no mode swaps two values."""
    wanted = _format(spec, False)
    return _Format(wanted.rounding, wanted.digits, wanted.most, 0, max(wanted.low, 0.0), wanted.high)


def _function(name: str, x: Tensor) -> ctypes._NamedFuncPointer:  # pyright: ignore[reportPrivateUsage]
    return getattr(_loaded(), f"{name}_{SUFFIX[x.dtype]}")


def _loaded() -> ctypes.CDLL:
    loaded = library()
    assert loaded is not None, "callers ask `serves` first"
    return loaded


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """Argument types, without which ctypes passes pointers as 32-bit numbers."""
    pointer, count, threads = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    signatures = {
        "cast": [*[pointer] * 3, *[count] * 2, pointer, threads],
        "cast_backward": [*[pointer] * 6, *[count] * 2, pointer, threads],
        "channel_sums": [*[pointer] * 4, *[count] * 3, threads],
        "affine": [*[pointer] * 6, *[count] * 3, threads],
    }
    both = {f"{name}_{suffix}": types for name, types in signatures.items() for suffix in SUFFIX.values()}
    single = {
        "affine_widening": [*[pointer] * 4, *[count] * 3, threads],
        "cast_narrowing": [*[pointer] * 3, count, pointer, threads],
        "sum_cast": [pointer, ctypes.c_int32, *[pointer] * 3, *[count] * 3, threads],
        "same_bytes": [*[pointer] * 3, count],
    }
    for name, types in {**both, **single}.items():
        function = getattr(library, name)
        function.argtypes, function.restype = types, None
    library.same_bytes.restype = ctypes.c_int32
    return library


def _load() -> ctypes.CDLL:
    """The shared library, compiled unless the cache has it.

    Raises:
        OSError: no compiler, or no place to write to.
        SubprocessError: it fails.
    """
    compiler = _compiler()
    texts = [Path(__file__).with_name(name).read_bytes() for name in SOURCES]
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=True).stdout
    key = joint_hash(*texts, version, repr((compiler, COMMON, FLAGS, _openmp())).encode(), _processor())
    cache = Cache(default_cache())
    with scratch() as folder:
        path = cache.find(key)
        if path is None:
            made = Path(folder, "kernel.so")
            _compile(compiler, made)
            cache.store(key, made)
            path = cache.find(key) or made
        loaded = _declared(ctypes.CDLL(str(path)))
        kept = path.parent != folder
        _Loaded.message = str(path) if kept else "compiled for this process; there is no place to keep it"
        return loaded


def _compile(compiler: list[str], path: Path) -> None:
    source = Path(__file__).with_name(SOURCES[0])
    error = ""
    for flags in FLAGS:
        command = [*compiler, *COMMON, *flags, str(source), "-o", str(path), "-Wl,--as-needed", *_openmp(), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode == 0:
            return
        error = error or done.stderr.strip()[-500:]
    raise subprocess.SubprocessError(f"{shlex.join(compiler)} failed: {error}")


def _compiler() -> list[str]:
    named = os.environ.get("CC")
    if named:
        return shlex.split(named)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise FileNotFoundError("no C compiler (cc, gcc or clang) was found")


def _openmp() -> list[str]:
    """The OpenMP runtime that torch has loaded: with one of its own the kernel's threads would get in the way of torch's."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return []
    files = {Path(line.split(maxsplit=5)[-1]) for line in maps.read_text().splitlines()}
    return sorted(str(file) for file in files if file.name.startswith(("libgomp", "libomp", "libiomp")) and file.exists())


def _processor() -> bytes:
    """What -march=native depends on; a home directory may serve several machines."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else [platform.processor()]
    kept = {line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))}
    return "\n".join([platform.machine(), *sorted(kept or lines[:1])]).encode()


assert {mode.name for mode in Rounding} == set(ROUNDINGS), "kernel.c numbers the rounding modes"
