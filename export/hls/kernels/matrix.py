"""Sums of products with constant weights: what convolutions and linear layers have in common."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TypeVar

from qfx.export.cost.arrays import Multiplier, MultiplierArray
from qfx.export.cost.memory import Storage, buffer, table
from qfx.export.cost.packing import Packing
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import PRODUCT_TEXTS, Fold, Product
from qfx.export.hls.kernels.base import Header
from qfx.export.hls.kernels.op import OpKernel
from qfx.export.hls.kernels.packed import HEADER as PACKED_HEADER
from qfx.export.hls.kernels.packed import packed_table, packing_of
from qfx.export.hls.kernels.product import ENDINGS, ByConstants, Encoding, product_ways
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings
from qfx.export.hls.stage_settings import Storage as Place
from qfx.fixed import IntArray
from qfx.ir import Value
from qfx.ops.multiplying import SumOfProducts

T = TypeVar("T", bound=SumOfProducts)


MULTIPLIERS: dict[Product, Multiplier] = {"": "dsp", "dsp": "dsp", "packed": "dsp", "lut": "lut", "khot": "khot"}
"""What each way to multiply is counted as."""


class Weighted(OpKernel[T]):
    """Products of constant weights: SIMD for each of PE outputs, a cycle; their sums may go on over cycles."""

    endings = ENDINGS

    @cached_property
    def by_constants(self) -> ByConstants:
        return ByConstants(self.operation, self.op.digits, self.fold.product)

    @property
    def weight(self) -> Value:
        return self.operation.operands[1]

    @property
    def bias(self) -> Value | None:
        return self.operation.operands[2] if len(self.operation.operands) == 3 else None

    @property
    def simd(self) -> int:
        """Codes that an output sums over in a cycle."""
        return self.fold.simd

    @property
    def sum_words(self) -> int:
        """Cycles that an output sums over."""
        return math.prod(self.weight.shape[1:]) // self.simd

    @property
    def terms(self) -> int:
        return self.simd

    @property
    def packing(self) -> Packing | None:
        """How the weights of neighbouring outputs share a DSP, where they do."""
        return packing_of(self.operation, self.fold.writes) if self.fold.product == "packed" else None

    @property
    def matrix_header(self) -> Header:
        """The header with the sums."""
        product, packed = self.by_constants, self.by_constants.way == "packed"
        values = {"product": product.ending, "packed": "_packed" if packed else ""}
        return Header(
            f"matrix_vector{product.ending}", "parts/matrix_vector", values, (PACKED_HEADER if packed else product.header,)
        )

    def describe_product(self, settings: Settings) -> Encoding:
        """Add how far products are shifted, and their types."""
        settings.constant(product_shift=self.out.type.frac - self.x.type.frac - self.weight.type.frac)
        return self.by_constants.describe(settings)

    def describe_windows(self, settings: Settings, groups: int = 1) -> None:
        """Add how many windows come a frame, and words of results that are made of each."""
        settings.constant(windows=self.out.pixels * groups, window_groups=self.out.groups // groups)

    def describe_matrix(self, settings: Settings, matrix: IntArray, encoding: Encoding) -> None:
        """Add the weights of matrix_vector.

        Args:
            matrix: codes (output, word of the window, code in the word).
        """
        lanes, count = self.out.lanes, matrix.shape[2]
        settings.constant(window_words=matrix.shape[1], simd=count)
        if self.fold.product == "packed":
            packed_table(settings, self.operation, matrix, lanes, self.fold.storage)
            return
        share = encoding.per_entry(count)
        rows = [
            [entry for lane in range(lanes) for entry in encoding.entries(matrix[first + lane, position].tolist(), share)]
            for first in range(0, matrix.shape[0], lanes)
            for position in range(matrix.shape[1])
        ]
        where = f"[output group, window word][output lane, {share} constants an entry]"
        settings.constant(weight_words=len(rows), per_entry=share)
        settings.code("entry_bits", False, share * encoding.bits)
        self.weight_table(settings, rows, share * encoding.bits, "entry_bits", where)

    def weight_table(self, settings: Settings, rows: list[list[int]], bits: int, bits_type: str, where: str) -> None:
        """Add a table of weights, `where` its indices in words."""
        comment = f"{self.weight.name}: {self.weight.type.ap_name}, {where}"
        settings.table("weight", rows, bits, bits_type, comment, storage=self.fold.storage)

    def sums(self, outputs: int, accumulates: bool) -> Resources:
        """Products, trees and accumulators of so many outputs."""
        digits = self.operation.digits if self.by_constants.way == "khot" else None
        return MultiplierArray(
            outputs=outputs,
            inputs=self.simd,
            multiplier=MULTIPLIERS[self.by_constants.way],
            x_width=self.x.type.width,
            weight_width=self.weight.type.width,
            accumulator_width=self.out.type.width,
            x_signed=self.x.type.signed,
            digits=digits.count if digits else 1,
            shift_bits=digits.shift_bits if digits else 3,
            packing=self.packing,
            accumulates=accumulates,
        ).resources()

    def constants(self, outputs: int, groups: int) -> Resources:
        """Tables of weights and biases.

        Args:
            outputs: at once.
            groups: of outputs.
        """
        storage: Storage = self.fold.storage or "auto"
        packing = self.packing
        bits = outputs * self.by_constants.table_bits
        if packing is not None:
            bits = math.ceil(outputs / packing.lanes) * packing.stored_width
        weights = table(self.simd * bits, self.sum_words * groups, storage)
        return weights + table(outputs * (self.bias.type.width if self.bias else 0), groups, storage)

    def kept(self, groups: int, pixels: int = 1) -> Resources:
        """The words of a window, which further groups of outputs read again."""
        return buffer(self.simd * self.x.type.width * pixels, self.sum_words) if groups > 1 else Resources()

    @property
    def parallelism(self) -> str:
        product = f", products {PRODUCT_TEXTS[self.fold.product]}" if self.fold.product else ""
        storage = f", weights in {self.fold.storage}" if self.fold.storage else ""
        return f"{self.lanes_text}{product}{storage}"

    @property
    def lanes_text(self) -> str:
        """`SIMD 36, PE 4`."""
        return f"SIMD {self.fold.simd}, PE {self.fold.writes}"

    @classmethod
    def products(cls, operation: Operation[T], outputs: int) -> tuple[Product, ...]:
        ways = product_ways(operation, operation.op.digits)
        packs = outputs and operation.op.digits is None and cls.shares_inputs(operation) and packing_of(operation, outputs)
        return (*ways, "packed") if packs else ways

    @classmethod
    def shares_inputs(cls, operation: Operation[T]) -> bool:
        """Whether neighbouring outputs read the same codes."""
        return True

    @classmethod
    def stores(cls, operation: Operation[T], fold: Fold) -> tuple[Place, ...]:
        """Where weights can lie: a choice where a cycle reads one of several words."""
        return ("", "lut", "bram") if operation.operands[1].size // (fold.writes * cls.per_output(operation, fold)) > 1 else ("",)

    @classmethod
    def per_output(cls, operation: Operation[T], fold: Fold) -> int:
        """Weights of an output in a cycle."""
        return fold.simd
