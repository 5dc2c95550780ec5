"""What pools have in common: each channel by itself, lane by lane."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from qfx.export.cost.resources import Resources
from qfx.export.hls.kernels.windowed import Windowed
from qfx.ops.base import Op

T = TypeVar("T", bound=Op)


class Pool(Windowed[T]):
    """A kernel that takes the channels of a window one by one."""

    @abstractmethod
    def lane(self) -> Resources:
        """Resource usage of one lane."""

    def resources(self) -> Resources:
        """Lanes and the counters of the loops."""
        return self.lane() * (min(self.out.lanes, self.out.channels) * self.out.whole_pixels) + self.counters()
