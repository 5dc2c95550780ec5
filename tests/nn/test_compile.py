"""torch.compile: training gives the same values and gradients, eval the exact ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import qfx.nn as qnn
from qfx.conversion import calibrate
from qfx.fixed import FixedType
from qfx.quant import QuantSpec, kernel


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """No compiled code is left to the next test."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def network(x: Tensor) -> qnn.Model:
    """Convolution, batch normalisation, pool, and a 2-hot classifier; calibrated on x."""
    torch.manual_seed(0)
    layers = (
        qnn.QuantInput(type=FixedType(False, 8, 8)),
        qnn.Conv2d(1, 3, 3, bias=False, weight=QuantSpec.weights(4)),
        qnn.BatchNorm2d(3),
        qnn.ReLU(output=QuantSpec.activations(4)),
        qnn.MaxPool2d(2),
        nn.Flatten(),
        qnn.Linear(12, 3, weight=QuantSpec.weights(6, k_hot=2)),
    )
    model = qnn.Model(nn.Sequential(*layers))
    calibrate(model, [x])
    return model


def trained(model: nn.Module, call: Callable[[Tensor], Any], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The output of a forward in training, and the gradients by parameter; by torch, as compiled parts use no kernel."""
    model.train()
    with kernel.using(False):
        y = call(x)
        y.square().sum().backward()
    return y.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.filterwarnings("default")  # torch's own, while it traces: of Functions it makes and gradients it looks for
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_training_and_eval(backend: str) -> None:
    x = torch.randint(0, 256, (8, 1, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    plain = network(x)
    twin = copy.deepcopy(plain)
    compiled: Callable[[Tensor], Any] = torch.compile(twin, backend=backend)
    y, gradients = trained(plain, plain, x)
    other, others = trained(twin, compiled, x)
    assert torch.equal(y, other) and len(gradients) >= 10 and gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, msg=name)
    plain.eval()
    twin.eval()
    with torch.no_grad():
        assert torch.equal(compiled(x), plain(x)) and compiled(x).dtype == plain(x).dtype
    assert [proof.accumulator for proof in twin.exactness()] == [proof.accumulator for proof in plain.exactness()]
