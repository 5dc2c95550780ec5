"""The GPU's kernels: their source, compiled by g++, gives torch's bits; and what stands in for them."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from qfx.quant import FixedPointCast, QuantSpec, cast, fused, kernel
from qfx.quant.cast import quantize
from tests.devices import DEVICES

WRAPPED = """
#include <math.h>
%s
%s
extern "C" void forward(const REAL *x, REAL scale, REAL step, REAL low, REAL high, REAL *q, long n) {
    for (long i = 0; i < n; i++) q[i] = qfx_cast<REAL>(x[i], scale, step, low, high);
}
extern "C" void backward(const REAL *g, const REAL *x, REAL scale, REAL step, REAL low, REAL high, REAL relu, REAL *dx, REAL *df,
                         long n) {
    for (long i = 0; i < n; i++) qfx_cast_backward<REAL>(g[i], x[i], scale, step, low, high, relu, dx[i], df[i]);
}
"""
REALS = {torch.float32: ("float", ctypes.c_float), torch.float64: ("double", ctypes.c_double)}


class Compiled:
    """The two functions on CPU tensors, with the signatures that torch's jiterator gives them."""

    def __init__(self, folder: Path, dtype: torch.dtype, flags: tuple[str, ...]) -> None:
        name, self.real = REALS[dtype]
        source, library = folder / "fused.cpp", folder / "fused.so"
        source.write_text(WRAPPED % (fused.CAST, fused.BACKWARD))
        subprocess.run(["g++", "-O2", *flags, f"-DREAL={name}", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
        self.library: Any = ctypes.CDLL(str(library))

    def _call(self, function: Any, tensors: list[Tensor], factors: list[float], results: list[Tensor]) -> None:
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
        outputs = [ctypes.c_void_p(result.data_ptr()) for result in results]
        function(*pointers, *map(self.real, factors), *outputs, ctypes.c_long(results[0].numel()))

    def forward(self, x: Tensor, scale: Tensor, step: Tensor, low: float, high: float) -> Tensor:
        q = torch.empty_like(x)
        self._call(self.library.forward, [x], [float(scale), float(step), low, high], [q])
        return q

    def backward(
        self, g: Tensor, x: Tensor, scale: Tensor, step: Tensor, low: float, high: float, relu: float
    ) -> tuple[Tensor, Tensor]:
        dx, df = torch.empty_like(x), torch.empty_like(x)
        self._call(self.library.backward, [g, x], [float(scale), float(step), low, high, relu], [dx, df])
        return dx, df


def put_in(monkeypatch: pytest.MonkeyPatch, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
    """Compute with these as on a GPU."""
    monkeypatch.setattr(fused, "forward_kernel", lambda: forward)
    monkeypatch.setattr(fused, "backward_kernel", lambda: backward)


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.parametrize("flags", [("-ffp-contract=off",), ("-ffp-contract=fast", "-march=native")], ids=["separate", "fused"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_source_has_the_bits_of_torch(
    dtype: torch.dtype, flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = Compiled(tmp_path, dtype, flags)
    put_in(monkeypatch, compiled.forward, compiled.backward)
    generator = torch.Generator().manual_seed(0)
    halves = torch.arange(-400, 401, dtype=dtype) / 8
    beside = [torch.nextafter(halves, halves + sign) for sign in (1, -1)]
    x = torch.cat([halves, *beside, torch.randn(500, generator=generator).to(dtype) * 9])
    grad = torch.randn(len(x), generator=generator).to(dtype)
    for spec in (QuantSpec(w, signed) for w in (1, 2, 4, 8) for signed in (True, False)):
        type = spec.type(0)
        for f in (-3, 0, 2):
            factors = torch.tensor(2.0**f, dtype=dtype), torch.tensor(2.0**-f, dtype=dtype)
            wanted, inside = quantize(x, torch.tensor(f), spec)
            assert torch.equal(fused.cast(x, *factors, type.min_int, type.max_int), wanted)
            dx, df = fused.backward(grad, x, *factors, type.min_int, type.max_int, False)
            assert torch.equal(dx, grad * inside) and torch.equal(df, grad * (torch.where(inside, x, 0) - wanted))


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_the_check_of_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes with the source as it is, and finds ties that go down, a range that is one short, a gradient that leaks."""
    both: dict[torch.dtype, Compiled] = {}
    for dtype in REALS:
        folder = tmp_path / str(dtype)
        folder.mkdir()
        both[dtype] = Compiled(folder, dtype, ())

    def forward(x: Tensor, *factors: Any, low: float, high: float) -> Tensor:
        return both[x.dtype].forward(x, *factors, low=low, high=high)

    def backward(g: Tensor, x: Tensor, *factors: Any, **ends: float) -> tuple[Tensor, Tensor]:
        return both[x.dtype].backward(g, x, *factors, **ends)

    def ties_down(x: Tensor, *factors: Any, low: float, high: float) -> Tensor:
        return -forward(-x, *factors, low=-high, high=-low)

    def short(x: Tensor, *factors: Any, low: float, high: float) -> Tensor:
        return forward(x, *factors, low=low, high=high - 1)

    def leaking(g: Tensor, x: Tensor, *factors: Any, **ends: float) -> tuple[Tensor, Tensor]:
        return g, backward(g, x, *factors, **ends)[1]

    def wrong_share(g: Tensor, x: Tensor, *factors: Any, **ends: float) -> tuple[Tensor, Tensor]:
        return backward(g, x, *factors, **ends)[0], g

    for pair in ((forward, backward), (ties_down, backward), (short, backward), (forward, leaking), (forward, wrong_share)):
        put_in(monkeypatch, *pair)
        assert cast.agrees(torch.device("cpu")) == (pair == (forward, backward))


class OnAGpu:
    """What `serves` asks of a tensor."""

    def __init__(self, index: int) -> None:
        self.device, self.dtype = torch.device("cuda", index), torch.float32


def test_a_device_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "messages", dict[str, str]())
    assert fused.status() == "no GPU has been used"
    checked: list[torch.device] = []

    def check(device: torch.device) -> bool:
        checked.append(device)
        if device.index == 2:
            raise RuntimeError("no NVRTC")
        return device.index == 0

    served = [fused.serves(OnAGpu(index), check) for index in (0, 1, 2, 0, 1, 2)]  # type: ignore[arg-type]
    assert served == [True, False, False] * 2 and len(checked) == 3
    assert fused.status() == (
        "cuda:0: one kernel per cast; cuda:1: torch's operations, since the kernels gave other bits; "
        "cuda:2: torch's operations, since the kernels cannot be made: no NVRTC"
    )


def test_torch_takes_the_source() -> None:
    """It is parsed where it is made, without a GPU, too."""
    functions: list[Any] = [fused.forward_kernel(), fused.backward_kernel()]
    assert [function.kernel_name for function in functions] == ["qfx_cast", "qfx_cast_backward"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("per_channel", [False, True])
def test_on_every_device(device: str, per_channel: bool) -> None:
    """Values and gradients as computed with kernels switched off, on the same device."""
    generator = torch.Generator().manual_seed(0)
    values, grad = torch.randn(2, 6, 5000, generator=generator).unbind()
    spec = QuantSpec(4, per_channel=per_channel)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for wanted in (True, False):
        x = values.to(device).requires_grad_()
        f = torch.full((6,) if per_channel else (), 1.7, device=device).requires_grad_()
        with kernel.using(wanted):
            q = FixedPointCast.cast(x, f, spec)
            q.backward(grad.to(device))
        assert x.grad is not None and f.grad is not None
        found.append((q.detach(), x.grad, f.grad))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    torch.testing.assert_close(found[0][2], found[1][2], rtol=1e-4, atol=1e-4)
