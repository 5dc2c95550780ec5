"""A stage of the accelerator as costs and folding see it: what it computes, its formats, how it is folded, its cycles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from qfx.errors import ExportError
from qfx.export.cost.arrays import Multiplier
from qfx.export.cost.memory import Storage
from qfx.export.cost.packing import Packing, check_packing
from qfx.fixed import Overflow, Rounding

Kind = Literal[
    "conv2d",
    "linear",
    "affine",
    "multiply",
    "add",
    "requantize",
    "relu",
    "clamp",
    "prelu",
    "lookup",
    "max_pool2d",
    "avg_pool2d",
    "convert",
    "copy",
]
"""`convert` changes the width of words; `copy` moves words without computing, as forks and rearrangements do."""
Pair = tuple[int, int]


@dataclass(frozen=True)
class Fold:
    """What a stage does in one cycle.

    Attributes:
        outputs: PE, output channels at once.
        channels: S, input channels of a group at once.
        taps: T, positions of the kernel at once.
        pixels: P, output pixels at once.
    """

    outputs: int = 1
    channels: int = 1
    taps: int = 1
    pixels: int = 1


@dataclass(frozen=True)
class StageShape:
    """One stage. Sizes are (height, width), formats in bits.

    Attributes:
        in_channels, in_size, out_channels, out_size: what comes and what goes, per frame.
        kernel, stride, padding: of a window; padding is what is added above and on the left.
        groups: channel groups; element-wise stages and pools keep channels apart and have as many groups as channels.
        x_width, x_signed: the activation. `y_width`: the second one of an add or multiply.
        weight_width: weights, scales, slopes, or the reciprocal of an average; 0 for none.
        bias_width: biases, offsets; 0 for none.
        accumulator_width: sums. `result_width`: what leaves the stage.
        shift: bits by which x is shifted to the grid of y (add) or of the product (prelu).
        dropped, rounding, overflow, target_signed: of a requantize.
        bounds: of a clamp.
        multiplier, digits, shift_bits, packing: how it multiplies.
        storage, lines: where weights and lines of the image lie.
        fifo_depth: words of the FIFO behind the stage, and of the one behind its window; 0 for none.
        input_lanes: codes in a word that comes; None for as many as a cycle uses.
        rows_kept: lines of the image that a window keeps; None for those under it and those that come meanwhile.
    """

    name: str
    kind: Kind
    in_channels: int
    in_size: Pair
    out_channels: int
    out_size: Pair
    fold: Fold = Fold()
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    groups: int = 1
    x_width: int = 8
    x_signed: bool = True
    y_width: int = 0
    weight_width: int = 0
    bias_width: int = 0
    accumulator_width: int = 0
    result_width: int = 8
    shift: int = 0
    dropped: int = 0
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT
    target_signed: bool = True
    bounds: Pair = (0, 0)
    multiplier: Multiplier = "dsp"
    digits: int = 1
    shift_bits: int = 3
    packing: Packing | None = None
    storage: Storage = "auto"
    lines: Storage = "auto"
    fifo_depth: int = 2
    input_lanes: int | None = None
    rows_kept: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ExportError(f"{self.name}: there is no kind of stage {self.kind!r}; known: {', '.join(get_args(Kind))}")
        if self.multiplier not in get_args(Multiplier):
            raise ExportError(f"{self.name}: there is no multiplier {self.multiplier!r}; known: {', '.join(get_args(Multiplier))}")
        whole = [
            ("groups", self.groups, "input channels", self.in_channels),
            ("groups", self.groups, "output channels", self.out_channels),
            ("PE", self.fold.outputs, "output channels", self.out_channels),
            ("S", self.fold.channels, "input channels of a group", self.group_channels),
            ("T", self.fold.taps, "positions of the kernel", self.taps),
            ("P", self.fold.pixels, "columns of the result", self.out_size[1]),
        ]
        for what, part, things, count in whole:
            if part < 1 or count % part:
                raise ExportError(f"{self.name}: {what} = {part} does not divide {count} {things}")
        if self.packing is not None:
            check_packing(self.packing, min(self.packing.accumulations, self.fold.taps * self.fold.channels), self.name)

    @property
    def taps(self) -> int:
        """Positions of the kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def group_channels(self) -> int:
        """Input channels that an output sums over."""
        return self.in_channels // self.groups

    @property
    def output_folds(self) -> int:
        """Cycles, or runs of cycles, for the channels of an output pixel."""
        return self.out_channels // self.fold.outputs

    @property
    def sum_folds(self) -> int:
        """Cycles that an output sums over."""
        return (self.taps // self.fold.taps) * (self.group_channels // self.fold.channels)

    @property
    def word_lanes(self) -> int:
        """Codes in a word that comes."""
        apart = self.groups > 1 and self.groups == self.in_channels
        return self.input_lanes or (self.fold.outputs if apart else self.fold.channels) * self.fold.pixels

    @property
    def row_words(self) -> int:
        """Words of an image row that comes."""
        return math.ceil(self.in_size[1] * self.in_channels / self.word_lanes)

    @property
    def window_codes(self) -> int:
        """Codes in a word of windows: those of neighbouring pixels share columns."""
        if self.fold.pixels == 1:
            return self.fold.taps * self.word_lanes
        return self.kernel[0] * ((self.fold.pixels - 1) * self.stride[1] + self.kernel[1]) * self.in_channels

    @property
    def input_words(self) -> int:
        """Words of a frame that comes."""
        return self.in_size[0] * self.row_words

    @property
    def cycles(self) -> int:
        """Cycles per frame, steady: OH * OW * (KH * KW / T) * (C / groups / S) * (O / PE) / P, at least the words that come."""
        height, width = self.out_size
        return max(height * width * self.sum_folds * self.output_folds // self.fold.pixels, self.input_words)

    @property
    def fill(self) -> float:
        """The part of a frame that has to come before the first result goes: rows of a window, all of a linear layer's input."""
        if self.kind == "linear":
            return 1.0
        rows = max(0, self.kernel[0] - 1 - self.padding[0])
        return min(1.0, rows / self.in_size[0])


def elementwise(name: str, kind: Kind, channels: int, size: Pair, lanes: Fold | int = 1, **more: object) -> StageShape:
    """A stage that keeps channels and pixels apart; `lanes` is its fold, or channels at once, `more` are fields of `StageShape`."""
    fold = Fold(lanes) if isinstance(lanes, int) else lanes
    return StageShape(name, kind, channels, size, channels, size, fold, groups=channels, **more)  # type: ignore[arg-type]
