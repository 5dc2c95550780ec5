"""Exact comparison: nothing that is not the same integer passes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from qfx.errors import GraphError
from qfx.sim.compare import differs


@pytest.mark.parametrize(
    ("first", "second", "different"),
    [
        (np.array([1, -2]), np.array([1, -2]), [False, False]),
        (np.array([1, -2]), np.array([1, 2]), [False, True]),
        (np.array([3], np.uint8), np.array([3], np.int64), [False]),
        (np.array([255], np.uint8), np.array([-1], np.int8), [True]),
        (np.array([2**63], np.uint64), np.array([-(2**63)], np.int64), [True]),
        (np.array([1.0, 1.5, -0.0]), np.array([1, 1, 0]), [False, True, False]),
        (np.array([np.nan, np.inf, 2.0**63]), np.array([0, 0, 0]), [True, True, True]),
        (np.array([np.nan, 0.5]), np.array([np.nan, 0.5]), [True, True]),
        (np.array([1 << 24], np.float32), np.array([(1 << 24) + 1]), [True]),
        (np.array([2.0**53]), np.array([2**53 + 1]), [True]),
    ],
)
def test_differs(first: npt.NDArray[np.generic], second: npt.NDArray[np.generic], different: list[bool]) -> None:
    assert differs(first, second).tolist() == different
    assert differs(second, first).tolist() == different


def test_shapes_must_be_equal() -> None:
    with pytest.raises(GraphError, match=r"arrays of shapes \(2,\) and \(2, 1\) cannot be compared"):
        differs(np.zeros(2), np.zeros((2, 1)))
