"""`qfx.simulate`: the outputs of a graph, or of what has one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import qfx
from qfx.errors import InputError
from qfx.ops.sampling import random_codes
from qfx.sim import Simulator
from tests.networks import U4, residual_network

GRAPH = residual_network()
CODES = random_codes(U4, (7, 2, 5, 6), 1)


def test_the_outputs_are_the_interpreter_s() -> None:
    wanted = Simulator(GRAPH).run({"x": CODES})
    found = qfx.simulate(GRAPH, CODES)
    assert list(found) == ["head"]
    np.testing.assert_array_equal(found["head"], wanted["head"])
    inner = qfx.simulate(GRAPH, {"x": CODES.astype(np.uint8)}, ["body", "head"], threads=1)
    np.testing.assert_array_equal(inner["body"], wanted["body"])


def test_whatever_has_a_graph() -> None:
    holder: Any = SimpleNamespace(graph=GRAPH)
    np.testing.assert_array_equal(qfx.simulate(holder, CODES)["head"], qfx.simulate(GRAPH, CODES)["head"])


def test_values_that_are_none() -> None:
    with pytest.raises(InputError, match="'boby' is no value that the network computes; it has x, stem"):
        qfx.simulate(GRAPH, CODES, ["boby"])
    with pytest.raises(InputError, match=r"input 'x' has shape \(7, 2, 5\), wanted \(batch, 2, 5, 6\)"):
        qfx.simulate(GRAPH, CODES[..., 0])
