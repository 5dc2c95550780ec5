"""Nothing that changes the arithmetic enters the exact path: on shapes, and under settings, that invite it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import qfx.nn as qnn
from qfx.fixed import FixedType
from qfx.quant import QuantSpec
from qfx.quant.exact_arithmetic import exact_arithmetic
from tests.devices import DEVICES

backends: Any = torch.backends
CODES = FixedType(True, 11, 0)
"""Eleven bits: bf16 and half precision drop some of them, TF32's mantissa does in sums."""
WEIGHT = QuantSpec(4, frac=0, learn=False)

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...], Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]] = {
    "3x3, many channels": (
        lambda: qnn.Conv2d(64, 64, 3, padding=1, bias=False, weight=WEIGHT),
        (16, 64, 12, 12),
        lambda x, w: functional.conv2d(x, w, padding=1),
    ),
    "11x11": (lambda: qnn.Conv2d(16, 32, 11, bias=False, weight=WEIGHT), (16, 16, 18, 18), functional.conv2d),
    "depthwise": (
        lambda: qnn.Conv2d(32, 32, 3, groups=32, bias=False, weight=WEIGHT),
        (16, 32, 12, 12),
        lambda x, w: functional.conv2d(x, w, groups=32),
    ),
    "transposed": (
        lambda: qnn.ConvTranspose2d(64, 32, 3, 2, bias=False, weight=WEIGHT),
        (8, 64, 6, 6),
        lambda x, w: functional.conv_transpose2d(x, w, stride=2),
    ),
    "linear": (lambda: qnn.Linear(512, 64, bias=False, weight=WEIGHT), (64, 512), functional.linear),
}
"""The layer, a batch of inputs, and the arithmetic on codes."""


@contextmanager
def changed(owner: Any, name: str, value: object) -> Generator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def matmul_precision(level: str) -> Generator[None]:
    torch.set_float32_matmul_precision(level)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


SETTINGS: dict[str, Callable[[str], Any]] = {
    "autocast": lambda device: torch.autocast(device, torch.bfloat16),
    "matmul precision medium": lambda device: matmul_precision("medium"),
    "matmul precision high": lambda device: matmul_precision("high"),
    "TF32 in cuBLAS": lambda device: changed(backends.cuda.matmul, "allow_tf32", True),
    "TF32 in cuDNN": lambda device: changed(backends.cudnn, "allow_tf32", True),
    "cuDNN searches": lambda device: changed(backends.cudnn, "benchmark", True),
    "bf16 convolutions": lambda device: changed(backends.mkldnn.conv, "fp32_precision", "bf16"),
    "bf16 everywhere": lambda device: changed(backends, "fp32_precision", "bf16"),
    "NNPACK": lambda device: changed(backends.mkldnn, "enabled", False),
}
"""What a user may have switched on; NNPACK convolves where oneDNN is off."""


def assert_exact(kind: str, device: str, setting: Any) -> None:
    """The layer equals the sum of products in float64, which is exact; its own proof is float32's."""
    torch.manual_seed(0)
    make, shape, arithmetic = LAYERS[kind]
    model = qnn.Model(nn.Sequential(qnn.QuantInput(type=CODES), make())).eval().to(device)
    layer: Any = model.get_submodule("module.1")
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-8, 8, layer.weight.shape))
    x = torch.randint(CODES.min_int, CODES.max_int + 1, shape, device=device).to(torch.float32)
    with setting, torch.no_grad():
        found = model(x)
    assert found.dtype == torch.float32
    wanted = arithmetic(x.cpu().double(), layer.weight.detach().cpu().double())
    np.testing.assert_array_equal(found.cpu().double().numpy(), wanted.numpy())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_exact_whatever_is_switched_on(kind: str, device: str) -> None:
    for name, setting in SETTINGS.items():
        try:
            assert_exact(kind, device, setting(device))
        except AssertionError as error:
            raise AssertionError(f"under {name}: {error}") from error


def test_bf16_by_environment(tmp_path: Path) -> None:
    """oneDNN reads these variables by itself, past torch's switches."""
    script = """
from contextlib import nullcontext
from tests.nn.test_exact_arithmetic import LAYERS, assert_exact
for kind in LAYERS:
    assert_exact(kind, "cpu", nullcontext())
"""
    environment = {**os.environ, "ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def state() -> list[object]:
    settings = (backends.mkldnn.conv, backends.mkldnn.matmul, backends.cuda.matmul)
    precisions = [setting.fp32_precision for setting in settings]
    return [*precisions, backends.cudnn.enabled, backends.mkldnn.enabled, torch.is_autocast_enabled("cpu")]


def test_the_switches_go_back() -> None:
    """Also those that read as bf16 because the setting above them says so: they follow it again."""
    plain = state()
    with torch.autocast("cpu", torch.bfloat16), changed(backends.mkldnn, "fp32_precision", "bf16"):
        before = state()
        with pytest.raises(ZeroDivisionError), exact_arithmetic(torch.device("cpu")):
            with exact_arithmetic(torch.device("cpu")):
                assert state()[:5] == ["ieee", "ieee", "ieee", False, True]
            assert state()[:5] == ["ieee", "ieee", "ieee", False, True]
            assert not torch.is_autocast_enabled("cpu")
            _ = 1 / 0
        assert state() == before
    assert state() == plain


def test_threads_share_the_switches() -> None:
    """The first thread that leaves does not switch bf16 back on for the other."""
    barrier, seen = Barrier(2, timeout=30), list[object]()

    def first() -> None:
        with exact_arithmetic(torch.device("cpu")):
            barrier.wait()
        barrier.wait()

    thread = Thread(target=first)
    with matmul_precision("medium"):
        before = backends.mkldnn.matmul.fp32_precision
        thread.start()
        with exact_arithmetic(torch.device("cpu")):
            barrier.wait()
            barrier.wait()
            seen.append(backends.mkldnn.matmul.fp32_precision)
        thread.join()
        assert (seen, backends.mkldnn.matmul.fp32_precision) == (["ieee"], before)
