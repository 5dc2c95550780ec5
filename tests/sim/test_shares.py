"""Shares: all samples once, several in each."""

from __future__ import annotations

import pytest

from qfx.sim.shares import SEVERAL, shares


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4, 7, 16, 1000])
def test_all_samples_once_and_several_in_each(most: int) -> None:
    for samples in range(200):
        found = shares(samples, most)
        assert [index for share in found for index in range(share.start, share.stop)] == list(range(samples))
        sizes = [share.stop - share.start for share in found]
        assert max(sizes, default=0) - min(sizes, default=0) <= 1
        assert all(size <= max(most, 2 * SEVERAL - 1) for size in sizes)
        assert all(size >= min(SEVERAL, samples) for size in sizes)


def test_as_few_as_can_be() -> None:
    assert shares(100, 16) == [slice(100 * n // 7, 100 * (n + 1) // 7) for n in range(7)]
    assert shares(5, 1) == [slice(0, 5)] and shares(2, 1) == [slice(0, 2)] and shares(0, 4) == []
