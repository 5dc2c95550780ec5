"""conv2d: windows of an image times weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import numpy as np

from qfx import ops
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Fold
from qfx.export.hls.kernels.base import Header, Touched, facts, header_of
from qfx.export.hls.kernels.linear import TAKES, matrix_vector_touched
from qfx.export.hls.kernels.matrix import Weighted
from qfx.export.hls.kernels.op import own_lanes
from qfx.export.hls.kernels.product import Encoding, aligned_table
from qfx.export.hls.kernels.window import Window
from qfx.export.hls.kernels.windowed import Windowed
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings
from qfx.fixed import IntArray

AT_ONCE = "RUN * PE * SIMD multiplications by constants and RUN * PE adder trees"
LATENCY = 8


class AnyConvolution(Windowed[ops.Conv2d], Weighted[ops.Conv2d]):
    """What convolutions of all kinds of groups have in common."""

    @classmethod
    def window_of(cls, operation: Operation[ops.Conv2d]) -> Window:
        op, (height, width) = operation.op, operation.operands[1].shape[2:]
        return Window((height, width), op.stride, op.padding, op.dilation, op.extra)

    @property
    def header(self) -> Header:
        """One header holds the kernels of all kinds of groups."""
        product, name = self.by_constants, f"conv2d{self.pixels_ending}{self.by_constants.ending}"
        if self.at_once:
            return header_of(name, "conv2d_pixels", facts(LATENCY, AT_ONCE), (product.header,), product=product.ending)
        packed = "_packed" if product.way == "packed" else ""
        return header_of(name, "conv2d", facts(LATENCY, TAKES), (self.matrix_header,), product=product.ending, packed=packed)

    @property
    def terms(self) -> int:
        return self.simd

    def describe(self, settings: Settings) -> None:
        self.describe_window(settings)
        encoding = self.describe_product(settings)
        if self.at_once:
            self._describe_at_once(settings, encoding)
        else:
            self.describe_weights(settings, encoding)
        aligned_table(settings, "bias", self.bias, self.out)

    def _describe_at_once(self, settings: Settings, encoding: Encoding) -> None:
        settings.constant(simd=self.simd, weight_words=1)
        entries = encoding.entries(np.moveaxis(self.weight.codes, 1, -1).ravel().tolist())
        where = "[0][output, kernel row, kernel column, channel]"
        self.weight_table(settings, [entries], encoding.bits, "constant_bits", where)

    @abstractmethod
    def describe_weights(self, settings: Settings, encoding: Encoding) -> None:
        """Add the table of weights for one pixel a cycle, and the bounds of the loops that read it."""

    @property
    def iterations(self) -> int:
        """WINDOWS * WINDOW_GROUPS * WINDOW_WORDS; WORDS where several pixels are made at once."""
        return self.out.words * (1 if self.at_once else self.sum_words)

    def resources(self) -> Resources:
        """Sums, tables, the words of a window where they are read again, and the counters of the loops."""
        outputs, groups, pixels = min(self.out.lanes, self.out.channels), self.out.groups, self.out.whole_pixels
        sums = self.sums(outputs, self.sum_words > 1 or self.bias is not None) * pixels
        again = self.kept(groups // self.windows_apart, pixels)
        return sums + self.constants(outputs, groups) + again + self.counters(self.sum_words // self.tap_words)

    @property
    def lanes_text(self) -> str:
        pixels = self.out.whole_pixels
        simd = self.fold.simd if pixels == 1 else self.x.channels * self.fold.taps
        return f"SIMD {simd}, PE {self.fold.writes // pixels}{f', {pixels} pixels' if pixels > 1 else ''}"


class Conv2d(AnyConvolution):
    """y[o, i, j] = bias[o] + sum over c, r, s of weight[o, c, r, s] * x[c, i * stride + r * dilation - padding, ...].

    A group of channels, or all, into an output; all of them at once for several pixels.
    """

    serves = ops.Conv2d
    functions = ("conv2d", "conv2d_pixels")
    latency = LATENCY

    def __init__(self, operation: Operation[ops.Conv2d], fold: Fold) -> None:
        super().__init__(operation, fold)
        self.takes = AT_ONCE if self.at_once else TAKES

    @classmethod
    def fits(cls, operation: Operation[ops.Conv2d]) -> bool:
        return not is_depthwise(operation)

    @property
    def function(self) -> str:
        return f"conv2d{self.pixels_ending}{self.by_constants.ending}"

    @property
    def windows_apart(self) -> int:
        return self.op.groups

    @property
    def simd(self) -> int:
        return self.fold.taps * min(self.x.lanes, self.weight.shape[1])

    def describe_weights(self, settings: Settings, encoding: Encoding) -> None:
        outputs, channels, lanes, taps = *self.weight.shape[:2], self.x.lanes, self.fold.taps
        by_word = in_words(self.weight.codes, taps).reshape(outputs, channels // lanes, lanes, -1, taps)
        in_order = np.transpose(by_word, (0, 3, 1, 4, 2))  # [output, word of the kernel, channel group, tap, lane]
        self.describe_windows(settings, self.op.groups)
        self.describe_matrix(settings, in_order.reshape(outputs, -1, self.simd), encoding)

    def touched(self) -> Touched:
        if self.at_once:
            return super().touched()
        return matrix_vector_touched(self.iterations, self.sum_words, self.out.pixels * self.op.groups, self.out.words)

    @classmethod
    def apart(cls, operation: Operation[ops.Conv2d]) -> int:
        return operation.op.groups

    @classmethod
    def shapes(cls, operation: Operation[ops.Conv2d]) -> Iterable[Fold]:
        return own_lanes(operation, operation.op.groups, cls.tap_choices(operation))

    @classmethod
    def several_pixels(cls, operation: Operation[ops.Conv2d]) -> bool:
        return operation.op.groups == 1

    @classmethod
    def shares_inputs(cls, operation: Operation[ops.Conv2d]) -> bool:
        return operation.op.groups != operation.out.channels


class DepthwiseConv2d(AnyConvolution):
    """y[c, i, j] = bias[c] + sum over r, s of weight[c, 0, r, s] * x[c, i * stride + r * dilation - padding, ...]."""

    serves = ops.Conv2d
    functions = ("conv2d_depthwise", "conv2d_depthwise_pixels")
    latency = 6
    takes = "per lane WORD_TAPS multiplications, an adder tree and an accumulator; weights"

    @classmethod
    def fits(cls, operation: Operation[ops.Conv2d]) -> bool:
        return is_depthwise(operation)

    @property
    def function(self) -> str:
        return f"conv2d_depthwise{self.pixels_ending}{self.by_constants.ending}"

    @property
    def simd(self) -> int:
        return self.fold.taps

    def describe_weights(self, settings: Settings, encoding: Encoding) -> None:
        outputs, lanes, taps = self.weight.shape[0], self.x.lanes, self.fold.taps
        self.describe_taps(settings)
        by_word = in_words(self.weight.codes, taps).reshape(outputs // lanes, lanes, -1, taps)  # [channel group, lane, word, tap]
        rows = [encoding.entries(row.tolist()) for row in np.swapaxes(by_word, 1, 2).reshape(-1, lanes * taps)]
        settings.constant(weight_words=len(rows))
        self.weight_table(settings, rows, encoding.bits, "constant_bits", "[channel group, window word][lane, tap]")

    @classmethod
    def shares_inputs(cls, operation: Operation[ops.Conv2d]) -> bool:
        return False

    @classmethod
    def per_output(cls, operation: Operation[ops.Conv2d], fold: Fold) -> int:
        return fold.taps


def is_depthwise(operation: Operation[ops.Conv2d]) -> bool:
    """Whether each output has one channel of its own."""
    outputs, group_channels = operation.operands[1].shape[:2]
    return operation.op.groups > 1 and group_channels == 1 and outputs == operation.op.groups


def in_words(codes: IntArray, taps: int) -> IntArray:
    """Weights (output, channel, kernel row, kernel column) by the words of a window: (output, channel, word, tap).

    A word holds one kernel position, those of a kernel column, or all of them.
    """
    outputs, channels, height, width = codes.shape
    by_column = 1 < taps < height * width
    return (np.swapaxes(codes, 2, 3) if by_column else codes).reshape(outputs, channels, -1, taps)
