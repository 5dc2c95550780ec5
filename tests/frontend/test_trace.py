"""Where messages point: at the line of the user's code, never into torch, QFX or generated code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

import qfx
from qfx import nn as qnn
from qfx.errors import ConversionError, InputError, LoweringError
from qfx.fixed import FixedType
from qfx.frontend.trace import trace
from qfx.quant import QuantSpec

HERE = str(Path(__file__))


class Failing(nn.Module):
    """Raises what it is told, when it is traced or when it runs."""

    def __init__(self, error: BaseException, traced: bool) -> None:
        super().__init__()
        self.linear, self.error, self.traced = nn.Linear(3, 2), error, traced

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, fx.Proxy) is self.traced:
            self.fail()
        return self.linear(x)

    def fail(self) -> None:
        raise self.error


LINE = Failing.fail.__code__.co_firstlineno + 1
ERRORS = [
    KeyError("no such key"),
    AssertionError("wants seven"),
    StopIteration(),
    ZeroDivisionError(),
    SystemExit(3),
    ImportError("x"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_exception_of_the_users_own(error: BaseException) -> None:
    with pytest.raises(LoweringError) as caught:
        qfx.convert(Failing(error, True), torch.randn(4, 3))
    raised = f"its own code at {HERE}:{LINE} raises {type(error).__name__}"
    assert f"Failing cannot be traced: {raised}" in str(caught.value) and isinstance(caught.value.__cause__, type(error))
    with pytest.raises(ConversionError) as later:
        qfx.convert(Failing(error, False), torch.randn(4, 3))
    failing = (
        f"the float model fails on the sample of [4, 3] at {HERE}:{LINE}, where its own code raises it: {type(error).__name__}"
    )
    assert str(later.value).startswith(failing) and isinstance(later.value.__cause__, type(error))


class Late(nn.Module):
    """Exact, but it does not take some values, which only its data show."""

    def __init__(self) -> None:
        super().__init__()
        self.given = qnn.QuantInput(type=FixedType(False, 4, 0))
        spec = QuantSpec(5, frac=4, learn=False)
        self.linear = qnn.Linear(3, 2, weight=spec, bias=spec)

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, fx.Proxy) and bool((x > 7).any()):
            raise ValueError("too bright")
        return self.linear(self.given(x))


def test_an_exception_while_values_are_recorded(tmp_path: Path) -> None:
    line = Late.forward.__code__.co_firstlineno + 2
    with pytest.raises(InputError) as caught:
        qfx.write_project(qfx.lower(Late(), (3,)), tmp_path / "project", np.zeros((1, 3), np.int64), Late())
    assert str(caught.value) == f"the torch model fails at {HERE}:{line}: too bright"
    assert not list(tmp_path.iterdir())


class Soft(nn.Module):
    """A softmax in the middle, by module and by function, beside what else cannot be converted."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.soft, self.norm, self.blocks = nn.Softmax(1), nn.LayerNorm(4), nn.Sequential(nn.LogSoftmax(1), nn.LayerNorm(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.soft(self.first(x)))
        values = torch.topk(self.norm(x), 2)[0]
        return self.blocks(x) + torch.cat([values, values], 1)


def test_one_error_names_everything() -> None:
    start = Soft.forward.__code__.co_firstlineno
    with pytest.raises(ConversionError) as caught:
        qfx.convert(Soft(), torch.randn(4, 4))
    lines = str(caught.value).splitlines()
    assert lines[0] == "Soft cannot be converted; 5 parts have no fixed-point form:"
    starts = [
        f"soft (Softmax) at {HERE}:{start + 1}: it is softmax, post-processing on the CPU, which can only end a network; leave",
        f"norm (LayerNorm) at {HERE}:{start + 2}: ",
        f"topk (topk) at {HERE}:{start + 2}: it is topk, post-processing on the CPU, which can only end a network; torch.argmax",
        f"blocks.0 (LogSoftmax) at {HERE}:{start + 3}: it is log_softmax, post-processing",
        f"blocks.1 (LayerNorm) at {HERE}:{start + 3}: ",
    ]
    assert [line.strip()[: len(wanted)] for line, wanted in zip(lines[1:], starts, strict=True)] == starts


ENDING: list[Callable[[Any], Any]] = [
    lambda x: x.softmax(1),
    lambda x: torch.topk(x, 2).indices,
    lambda x: tuple(torch.topk(x, 2)[i] for i in (0, 1)),
    lambda x: (x.softmax(1), x.relu()),
]


@pytest.mark.parametrize("line", ENDING)
def test_what_ends_a_network_is_taken(line: Any) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Any:
            return line(self.linear(x))

    assert qfx.lower(qfx.convert(Net(), torch.randn(4, 4)), (4,)).host


def test_what_torch_calls_has_a_path_and_no_line() -> None:
    """Neither QFX's files nor torch's nor generated code."""
    with pytest.raises(ConversionError) as caught:
        qfx.convert(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), torch.randn(4, 4))
    assert "\n  1 (LayerNorm): it computes in floating point" in str(caught.value)
    converted = qfx.convert(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.randn(4, 4))
    assert not any(trace(converted).sources.values())
    assert all(node.source and ".py" not in node.source and "<" not in node.source for node in qfx.lower(converted, (4,)).nodes)


def test_a_tracing_fault_has_the_users_line() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if bool(x.sum() > 0) else -x

    line = Branching.forward.__code__.co_firstlineno + 1
    with pytest.raises(LoweringError) as caught:
        trace(Branching())
    assert str(caught.value).startswith(f"Branching cannot be traced at {HERE}:{line}: symbolically traced variables")
    assert "site-packages" not in str(caught.value)
