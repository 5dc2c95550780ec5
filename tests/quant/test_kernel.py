"""The C kernel: the bits of torch in the forward, the closed form in the backward, and torch in its place where there is none."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

from qfx.fixed import Overflow, Rounding
from qfx.quant import FixedPointCast, QuantSpec, best_frac, kernel
from qfx.quant.cast import compute, integer_frac, merges_relu, quantize

LN2 = math.log(2)
DTYPES = [torch.float32, torch.float64]
SATURATING = (Overflow.SAT, Overflow.SAT_SYM)
SPECS = [
    *[QuantSpec(width, signed, rounding=r, overflow=o) for width in (1, 2, 5, 8, 16) for signed in (True, False)
      for r in Rounding for o in SATURATING],
    *[QuantSpec(width, signed, k_hot=k) for width in (1, 2, 4, 8, 12) for signed in (True, False) for k in (1, 2, 3, 4, 5)],
    *[QuantSpec(8, signed, k_hot=k, max_exponent=e) for e in (0, 3, 5) for signed in (True, False) for k in (1, 2, 3)],
]  # fmt: skip


@pytest.fixture
def compiled() -> None:
    if kernel.library() is None:
        pytest.skip(kernel.status())


def hard_values(dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Numbers of every exponent, infinities, denormal numbers, NaN, and all that lies at and beside multiples of a half."""
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.float32:
        bits = torch.randint(-(2**31), 2**31, (4000,), generator=generator).to(torch.int32).view(torch.float32)
    else:
        bits = torch.randint(-(2**63), 2**63 - 1, (4000,), generator=generator).view(torch.float64)
    halves = torch.arange(-600, 601, dtype=dtype) / 2
    up, down = (torch.nextafter(halves, torch.full_like(halves, end)) for end in (math.inf, -math.inf))
    ends = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, 2.0**23 + 1, 2.0**24 - 1], dtype=dtype)
    near = torch.randn(4000, generator=generator).to(dtype) * 40
    return torch.cat([bits, halves, up, down, ends, near])


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_of_torch(dtype: torch.dtype) -> None:
    """Every rounding mode, both saturating overflows and K-hot; NaN stays NaN, apart from K-hot, where it is 0 in both."""
    x = hard_values(dtype)
    for spec, frac in product(SPECS, (-3.2, 0.0, 2.49, 64.0)):
        point = torch.tensor(frac, dtype=dtype)
        with kernel.using(True):
            found, _ = compute(x, point, spec)
        with kernel.using(False):
            eager, _ = compute(x, point, spec)
        wanted, _ = quantize(x, integer_frac(point), spec)
        torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True, msg=str(spec))
        torch.testing.assert_close(eager, wanted, rtol=0, atol=0, equal_nan=True, msg=str(spec))


@pytest.mark.usefixtures("compiled")
def test_random_bits_do_what_the_mask_says() -> None:
    """dx is the gradient inside, 0 outside, in both engines, for every mode."""
    x = hard_values(torch.float32, 1)
    x = x[x.isfinite() & (x.abs() < 1e30)]
    grad = torch.randn(len(x), generator=torch.Generator().manual_seed(2))
    for spec in SPECS:
        inside = quantize(x, torch.tensor(1), spec)[1]
        for native in (True, False):
            with kernel.using(native):
                assert torch.equal(cast_gradients(x, 1.0, spec, grad)[0], grad * inside), (spec, native)


def cast_gradients(x: Tensor, frac: float, spec: QuantSpec, grad: Tensor, relu: bool = False) -> tuple[Tensor, Tensor]:
    """Gradients of x and frac through autograd."""
    x, f = x.clone().requires_grad_(), torch.tensor(frac, dtype=x.dtype, requires_grad=True)
    FixedPointCast.cast(x, f, spec, relu).backward(grad)
    assert x.grad is not None and f.grad is not None
    return x.grad, f.grad


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
@pytest.mark.parametrize(
    "spec", [QuantSpec(8), QuantSpec(4, False), QuantSpec(8, rounding=Rounding.RND_CONV), QuantSpec(6, k_hot=2)]
)
def test_gradient_of_a_large_tensor(spec: QuantSpec, dtype: torch.dtype, tolerance: float) -> None:
    """100,003 values, so that several threads and a rest take part, against sums in float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100_003, generator=generator).to(dtype)
    grad = torch.rand(100_003, generator=generator).to(dtype)
    q, inside = quantize(x, torch.tensor(5), spec)
    wanted = (LN2 * grad.double() * torch.where(inside, x.double() - q.double(), -q.double())).sum()
    dx, df = cast_gradients(x, 5.2, spec, grad)
    assert torch.equal(dx, grad * inside)
    assert float((df.double() - wanted).abs() / wanted.abs()) < tolerance


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_merged_relu(dtype: torch.dtype) -> None:
    x = hard_values(dtype, 3)
    x = x[x.isfinite() & (x.abs() < 1e18)]
    grad = torch.rand(len(x), generator=torch.Generator().manual_seed(1)).to(dtype)
    for width in (1, 2, 4, 8):
        spec = QuantSpec(width, False)
        f = torch.tensor(1.3, dtype=dtype, requires_grad=True)
        before = x.clone().requires_grad_()
        wanted = FixedPointCast.cast(before.relu(), f, spec)
        wanted.backward(grad)
        merged = FixedPointCast.cast(x, f.detach(), spec, relu=True)
        dx, df = cast_gradients(x, 1.3, spec, grad, relu=True)
        assert merges_relu(spec) and torch.equal(merged, wanted) and f.grad is not None and before.grad is not None
        assert torch.equal(dx, before.grad)
        torch.testing.assert_close(df, f.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("engine")
def test_gradients_per_channel_and_in_other_orders_of_memory() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 6, 5, 7, generator=generator, dtype=torch.float64)
    grad = torch.randn(4, 6, 5, 7, generator=generator, dtype=torch.float64)
    wanted = cast_gradients(x, 2.0, QuantSpec(4), grad)
    last = torch.channels_last
    orders = [(x.contiguous(memory_format=last), grad), (x, grad.contiguous(memory_format=last)), (x.transpose(0, 1).contiguous().transpose(0, 1), grad)]  # fmt: skip # noqa: E501
    for other, gradient in orders:
        found = cast_gradients(other, 2.0, QuantSpec(4), gradient)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    frac = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    FixedPointCast.cast(x, frac, QuantSpec(4, per_channel=True)).backward(grad)
    each = [cast_gradients(x[c], float(c), QuantSpec(4), grad[c])[1] for c in range(4)]
    torch.testing.assert_close(frac.grad, torch.stack(each))


@pytest.mark.usefixtures("compiled")
def test_threads_change_nothing() -> None:
    x, grad = torch.randn(2, 70_001, generator=torch.Generator().manual_seed(0)).unbind()
    before = torch.get_num_threads()
    found: list[tuple[Tensor, Tensor]] = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(cast_gradients(x, 3.0, QuantSpec(6), grad))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("shape", [(0,), (0, 3), (1,), ()])
def test_few_elements(shape: tuple[int, ...]) -> None:
    x = torch.full(shape, 0.3)
    dx, df = cast_gradients(x, 1.0, QuantSpec(4), torch.ones(shape))
    assert dx.shape == shape and float(df) == pytest.approx(LN2 * (0.3 - 0.5) * x.numel(), abs=1e-6)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("width", "start"), [(width, start) for width in (2, 4, 8) for start in (-4, 4)])
def test_a_binary_point_returns(width: int, start: int) -> None:
    """From 4 too few or too many to within 1 of the best, squared error, Adam at 1e-2, 2,000 steps."""
    x, spec = torch.randn(2000, generator=torch.Generator().manual_seed(0)), QuantSpec(width)
    best = int(best_frac(x, spec))
    frac = torch.tensor(float(best + start), requires_grad=True)
    optimizer = torch.optim.Adam([frac], lr=1e-2)
    for _ in range(2000):
        optimizer.zero_grad()
        (FixedPointCast.cast(x, frac, spec) - x).square().mean().backward()
        optimizer.step()
    assert abs(int(integer_frac(frac)) - best) <= 1


PROGRAM = """
import torch
from qfx.quant import QuantSpec, kernel
from qfx.quant.cast import compute
q, _ = compute(torch.tensor([0.3, 0.49999997 / 4, 9.0]), torch.tensor(2.0), QuantSpec(4))
print(q.tolist(), kernel.library() is not None, kernel.status(), sep=";")
"""


def in_a_process(folder: Path, **environment: str) -> list[str]:
    """Values, whether there is a kernel, status."""
    variables = {**os.environ, "QFX_CACHE": str(folder), **environment}
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.strip().split(";", 2)


VALUES = "[0.25, 0.0, 1.75]"


@pytest.mark.usefixtures("compiled")
def test_compiled_once_and_kept(tmp_path: Path) -> None:
    first = in_a_process(tmp_path)
    assert first[:2] == [VALUES, "True"] and [str(path) for path in tmp_path.iterdir()] == [first[2]]
    made = Path(first[2]).stat().st_ino
    assert in_a_process(tmp_path) == first and Path(first[2]).stat().st_ino == made


@pytest.mark.usefixtures("compiled")
def test_a_kernel_that_was_altered_is_compiled_again(tmp_path: Path) -> None:
    kept = Path(in_a_process(tmp_path)[2])
    kept.write_bytes(b"not what was stored")
    assert in_a_process(tmp_path) == [VALUES, "True", str(kept)] and kept.read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"CC": "no-such-compiler"}, "torch computes the casts, since the kernel cannot be made: .*no-such-compiler"),
        ({"CC": "false"}, "the kernel cannot be made: .*false"),
        ({"CC": "", "PATH": "/nowhere"}, r"the kernel cannot be made: no C compiler \(cc, gcc or clang\) was found"),
        ({"QFX_KERNEL": "0"}, "the kernel is switched off"),
    ],
)
def test_without_the_kernel_torch_computes(tmp_path: Path, variables: dict[str, str], text: str) -> None:
    values, there, status = in_a_process(tmp_path, **variables)
    assert (values, there) == (VALUES, "False")
    assert re.search(text, status)


def test_no_place_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    values, there, status = in_a_process(tmp_path / "file")
    assert (values, there) == (VALUES, "False") and "which is no directory; name another" in status
    assert in_a_process(tmp_path / "file/cache") == [VALUES, "True", "compiled for this process; there is no place to keep it"]
