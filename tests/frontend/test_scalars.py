"""A tensor and a scalar constant: binary fractions within the limit are exact in all engines, all others are refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import qfx.nn as qnn
from qfx.engines.onnx_engine import OnnxEngine
from qfx.engines.torch_engine import TorchEngine
from qfx.errors import LoweringError
from qfx.export.onnx import onnx_model
from qfx.fixed import FixedType
from qfx.frontend import lower
from qfx.frontend.scalars import MAX_BITS, exact, inverse
from qfx.ir import Graph
from qfx.ops import Affine, Shift
from qfx.ops.sampling import corner_codes, random_codes
from qfx.sim import Simulator

S6 = FixedType(True, 6, 3)
Body = Callable[[Any], Any]


class Given(qnn.Model):
    """A function of an input of known format."""

    def __init__(self, body: Body, type: FixedType = S6) -> None:
        super().__init__()
        self.body, self.given = body, qnn.QuantInput(type=type)

    def forward(self, x: Tensor) -> Any:
        return self.body(self.given(x))


def graph_of(body: Body, type: FixedType = S6) -> Graph:
    return lower(Given(body, type), (3,))


def assert_exact(body: Body, type: FixedType, wanted: Callable[[Fraction], Fraction]) -> None:
    """torch, ONNX Runtime and the simulator agree, and the result is what rational arithmetic says."""
    model = Given(body, type)
    graph = lower(model, (3,))
    codes = np.concatenate([corner_codes(type, (3,)), random_codes(type, (9, 3), 0)])
    found = Simulator(graph).run({"x": codes})
    for engine in (TorchEngine(model, graph), OnnxEngine(graph, onnx_model(graph), threads=1)):
        other = engine.run({"x": codes})
        for name, values in found.items():
            np.testing.assert_array_equal(other[name], values, err_msg=engine.name)
    (output,) = graph.outputs
    step = Fraction(2) ** -graph.values[output].type.frac
    for before, after in zip(codes.ravel().tolist(), found[output].ravel().tolist(), strict=True):
        assert after * step == wanted(before * Fraction(2) ** -type.frac)


types = st.builds(FixedType, st.booleans(), st.integers(1, 16), st.integers(-4, 20))


def halved(code: int, times: int) -> float:
    return math.ldexp(code, -times)


binary = st.builds(halved, st.integers(-(2**12) + 1, 2**12 - 1), st.integers(0, MAX_BITS))


@settings(max_examples=60)
@given(types, binary.filter(lambda number: number != 1))
def test_products(type: FixedType, number: float) -> None:
    assert_exact(lambda x: x * number, type, lambda x: x * Fraction(number))


@settings(max_examples=60)
@given(types, binary.filter(bool), st.booleans())
def test_sums_and_differences(type: FixedType, number: float, left: bool) -> None:
    assert_exact(lambda x: number - x if left else x - number, type, lambda x: (Fraction(number) - x) * (1 if left else -1))


@settings(max_examples=20)
@given(types, st.integers(-8, 8).filter(bool), st.booleans())
def test_quotients(type: FixedType, power: int, negative: bool) -> None:
    number = math.ldexp(-1 if negative else 1, power)
    assert_exact(lambda x: x / number, type, lambda x: x / Fraction(number))


def test_powers_of_two_move_the_binary_point() -> None:
    (node,) = (graph := graph_of(lambda x: x * 0.25)).nodes
    assert node.op == Shift(-2) and graph.values[node.name].type == FixedType(True, 6, 5)
    (node,) = graph_of(lambda x: x / 0.125).nodes
    assert node.op == Shift(3)


def test_one_and_zero_do_nothing() -> None:
    graph = graph_of(lambda x: ((1 * x + 0) / 1 - 0).relu())
    assert [node.op.kind for node in graph.nodes] == ["relu"]


AFFINES: list[tuple[Body, int, int, int | None, FixedType]] = [
    (lambda x: -x, -1, 0, 1, FixedType(True, 7, 3)),
    (lambda x: x / -2, -1, 0, 1, FixedType(True, 7, 4)),
    (lambda x: 1 - x, -1, 1, 1, FixedType(True, 7, 3)),
    (lambda x: x + 0.5, 1, 1, 1, FixedType(True, 7, 3)),
    (lambda x: 3 * x, 3, 0, 2, FixedType(True, 8, 3)),
    (lambda x: x * 0.6875, 11, 0, None, FixedType(True, 10, 7)),
    (lambda x: x * 0, 0, 0, 1, FixedType(False, 1, 3)),
]


@pytest.mark.parametrize(("body", "scale", "offset", "digits", "type"), AFFINES)
def test_the_rest_is_an_affine_with_one_constant(body: Body, scale: int, offset: int, digits: int | None, type: FixedType) -> None:
    (node,) = (graph := graph_of(body)).nodes
    _, first, second = graph.operands(node)
    assert node.op == Affine(digits) and (first.codes.tolist(), second.codes.tolist()) == ([scale], [offset])
    assert graph.values[node.name].type == type


SPELLINGS: list[tuple[Body, str]] = [
    (lambda x: torch.sub(x, 0.5), "affine"),
    (lambda x: torch.rsub(x, 1), "affine"),
    (lambda x: torch.rsub(x, x), "add"),
    (lambda x: x.sub(x), "add"),
    (lambda x: x.neg(), "affine"),
    (lambda x: torch.neg(x), "affine"),
    (lambda x: x.div(2), "shift"),
    (lambda x: torch.true_divide(x, 2), "shift"),
    (lambda x: x.mul(other=2), "shift"),
    (lambda x: torch.add(x, other=1), "affine"),
]


@pytest.mark.parametrize(("body", "kind"), SPELLINGS)
def test_spellings(body: Body, kind: str) -> None:
    graph = graph_of(body)
    assert [node.op.kind for node in graph.nodes] == [kind]
    codes = corner_codes(S6, (3,))
    model = Given(body)
    found = TorchEngine(model, graph).run({"x": codes})
    for name, values in Simulator(graph).run({"x": codes}).items():
        np.testing.assert_array_equal(found[name], values)


REFUSED: list[tuple[Body, str]] = [
    (
        lambda x: x * 0.1,
        r"the scalar constant 0.1 is no multiple of 2\*\*-24 of at most 24 bits; take a near one, such as 0.10009765625,",
    ),
    (lambda x: x + 2.0**-25, r"no multiple of 2\*\*-24 .*; take one from 2\*\*-24 to below 2\*\*24"),
    (lambda x: x - (2**24 + 1), r"the scalar constant 16777217 is no multiple .* to below 2\*\*24"),
    (lambda x: x + 65536.001953125, "the scalar constant 65536.001953125 is no multiple .*, such as 65536.0"),
    (lambda x: 2**25 * x, "the scalar constant 33554432 is no multiple"),
    (lambda x: x * math.inf, "the scalar constant inf is not finite"),
    (lambda x: x / math.nan, "the scalar constant nan is not finite"),
    (lambda x: x / 0, "dividing by 0 has no result"),
    (lambda x: x / 3, "dividing by 3 is not exact; take a power of two, or multiply by a near constant, such as 0.333984375"),
    (lambda x: x / 0.75, "dividing by 0.75 is not exact"),
    (lambda x: 1 / x, "a computed divisor has no exact form"),
    (lambda x: torch.div(x, 2, rounding_mode="floor"), "rounding_mode='floor' is not supported"),
    (lambda x: torch.sub(x, x, alpha=3), r"alpha=3 is not supported; use a product, as in a \+ 3 \* b"),
    (lambda x: x * "a", "'a' is neither a computed tensor nor a scalar constant"),
]


@pytest.mark.parametrize(("body", "text"), REFUSED, ids=[text[:30] for _, text in REFUSED])
def test_refused(body: Body, text: str) -> None:
    with pytest.raises(LoweringError, match=text):
        graph_of(body)


def test_the_limit() -> None:
    for number in (2**24 - 1, (2**24 - 1) / 2**24, 2.0**-24, 2.0**23, -(2.0**-24), 0):
        assert exact(number) == Fraction(number)
    for number in (2**24, (2**25 - 1) / 2**24, 2.0**-25):
        with pytest.raises(LoweringError, match="of at most 24 bits"):
            exact(number)
    assert inverse(-8) == Fraction(-1, 8) and inverse(2.0**-23) == 2**23
