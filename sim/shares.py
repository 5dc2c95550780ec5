"""How samples are divided among the runs of an engine: into shares of several frames, the same ones on every machine."""

from __future__ import annotations

import itertools

SEVERAL = 3
"""Samples that a share has at least, where there are so many: a first one, one in the middle and a last one, so that what an engine
keeps from one to the next shows."""


def shares(samples: int, most: int) -> list[slice]:
    """Consecutive shares of all samples, their sizes equal or one apart; they depend on nothing else.

    Args:
        most: samples of a share at most. Where that would leave shares of fewer than `SEVERAL`, they are larger, up to
            2 * SEVERAL - 1.
    """
    count = min(-(-samples // max(1, most)), max(1, samples // SEVERAL))
    bounds = [samples * index // max(1, count) for index in range(count + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(bounds)]
