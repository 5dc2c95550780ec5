"""How parallel a stage is: codes per word that it reads and writes, kernel positions per cycle, how it multiplies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qfx.export.hls.stage_settings import Storage

MAX_LANES = 8
"""Codes per word where nothing else is asked for, at most."""

MAX_WORD_BITS = 1024
"""AP_INT_MAX_W's default: the widest word."""

Product = Literal["", "dsp", "packed", "lut", "khot"]
"""How `x * constant` is made; empty for what the tools choose."""

PRODUCT_TEXTS: dict[Product, str] = {"dsp": "in DSPs", "packed": "packed", "lut": "in LUTs", "khot": "by shifts"}
"""Ways to multiply, in words."""


@dataclass(frozen=True)
class Fold:
    """The parallelism of one stage.

    Attributes:
        reads: codes per word of each operand that is a stream; of a convolution or a linear layer S, so SIMD = S * taps.
        writes: codes per word of the result; of a convolution or a linear layer PE. More than a pixel has: P whole pixels, which
            windows of all kernel positions and channels make at once.
        taps: T, kernel positions per cycle: 1, those of a kernel column, or all of them.
        product: how `x * constant` is made where the constants are not K-hot: `dsp`; `packed`, where the constants of neighbouring
            outputs share a DSP; `lut`; `khot`, by shifts for the signed digits that they have; or empty for what the tools choose.
        storage: where the weights of a convolution or a linear layer lie: `lut` or `bram`; empty for what the tools choose.
    """

    reads: tuple[int, ...]
    writes: int
    taps: int = 1
    product: Product = ""
    storage: Storage = ""

    @property
    def simd(self) -> int:
        """Codes of the first operand that come in at once, over all kernel positions; of a fold of at most one pixel."""
        return self.reads[0] * self.taps

    @property
    def text(self) -> str:
        """`reads 4, writes 8, taps 9, products packed, weights in BRAM`."""
        taps = f", taps {self.taps}" if self.taps > 1 else ""
        product = f", products {PRODUCT_TEXTS[self.product]}" if self.product else ""
        storage = f", weights in {self.storage.upper()}" if self.storage else ""
        return f"reads {', '.join(map(str, self.reads))}, writes {self.writes}{taps}{product}{storage}"


Folding = Mapping[str, Fold]
"""By node name."""


def lanes(channels: int, most: int = MAX_LANES) -> int:
    """Codes per word: the largest divisor of the channel count up to `most`."""
    return max(d for d in range(1, most + 1) if channels % d == 0)


def divisors(count: int) -> list[int]:
    """All, in ascending order."""
    return [d for d in range(1, count + 1) if count % d == 0]
