"""Windows of every geometry that torch accepts: pools, uneven convolutions and transposed ones, in torch and the simulator."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import qfx.nn as qnn
from qfx.conversion import calibrate
from qfx.engines.torch_engine import TorchEngine
from qfx.errors import QuantizationError
from qfx.fixed import FixedType
from qfx.ops.sampling import random_codes
from qfx.quant import QuantSpec
from qfx.sim.engine import Simulator

RAW = FixedType(True, 5, 2)


def pairs(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


def assert_exact(layer: nn.Module, shape: tuple[int, ...]) -> None:
    codes = random_codes(RAW, (4, *shape), 0)
    model = qnn.Model(nn.Sequential(qnn.QuantInput(type=RAW), layer))
    calibrate(model, [torch.from_numpy(codes)])
    graph = model.eval().lower(shape)
    live, wanted = TorchEngine(model, graph).run({"input": codes}), Simulator(graph).run({"input": codes})
    for name, values in wanted.items():
        np.testing.assert_array_equal(live[name], values, err_msg=name)


def fits(layer: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether torch computes something."""
    try:
        result: Tensor = layer(torch.zeros(1, *shape))
    except (RuntimeError, QuantizationError):
        return False
    return result.numel() > 0


@settings(max_examples=60)
@given(size=pairs(3, 9), kernel=pairs(1, 4), stride=pairs(1, 5), padding=pairs(0, 2), dilation=pairs(1, 3), ceil=st.booleans())
def test_max_pool2d(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    ceil: bool,
) -> None:
    shape = (2, *size)
    assume(fits(nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil), shape))
    assert_exact(qnn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil), shape)


@settings(max_examples=60)
@given(size=pairs(2, 9), kernel=pairs(1, 4), stride=pairs(1, 5), padding=pairs(0, 2), ceil=st.booleans(), include=st.booleans())
def test_avg_pool2d(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], ceil: bool, include: bool
) -> None:
    shape = (2, *size)
    counterpart = nn.AvgPool2d(kernel, stride, padding, ceil, include)
    assume(fits(counterpart, shape))
    layer = qnn.AvgPool2d(kernel, stride, padding, ceil, include, output=None, reciprocal_width=16)
    assert_exact(layer, shape)
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer.eval()(x), counterpart(x), rtol=1e-3, atol=1e-4)


@settings(max_examples=60)
@given(
    size=pairs(1, 5),
    kernel=pairs(1, 4),
    stride=pairs(1, 3),
    padding=pairs(0, 2),
    output=pairs(0, 2),
    dilation=pairs(1, 2),
    groups=st.sampled_from([1, 2, 4]),
)
def test_conv_transpose2d(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    output: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    shape = (4, *size)
    torch.manual_seed(0)
    assume(all(p <= d * (k - 1) for p, d, k in zip(padding, dilation, kernel, strict=True)))
    assume(fits(nn.ConvTranspose2d(4, 8, kernel, stride, padding, output, groups, True, dilation), shape))
    spec = QuantSpec(5)
    assert_exact(qnn.ConvTranspose2d(4, 8, kernel, stride, padding, output, groups, True, dilation, weight=spec), shape)


@settings(max_examples=40)
@given(
    size=pairs(3, 8),
    kernel=pairs(1, 4),
    stride=pairs(1, 3),
    padding=pairs(0, 2),
    extra=pairs(0, 3),
    groups=st.sampled_from([1, 2, 4]),
)
def test_conv2d(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    extra: tuple[int, int],
    groups: int,
) -> None:
    shape = (4, *size)
    torch.manual_seed(0)
    layer = qnn.Conv2d(4, 8, kernel, stride, padding, groups=groups, extra=extra, weight=QuantSpec(5, k_hot=2))
    assume(all(n + 2 * p + e >= k for n, p, e, k in zip(size, padding, extra, kernel, strict=True)))
    assert_exact(layer, shape)
