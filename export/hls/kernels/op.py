"""Kernels of ops: what is common to them, whatever they compute."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

from qfx.export.cost.memory import fifo
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import MAX_WORD_BITS, Fold, Product, divisors, lanes
from qfx.export.hls.kernels.base import Header, Parameterized
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings, Storage
from qfx.export.hls.words import Words
from qfx.ops.base import Op

T = TypeVar("T", bound=Op)

FIFO_DEPTH = 2
"""Words of the FIFOs behind a stage, as long as no schedule has said how deep they have to be."""


class WindowStage(Parameterized):
    """The stage before a kernel that sends it the words under each window.

    Attributes:
        words: windows that it sends per frame.
    """

    words: int

    @property
    @abstractmethod
    def width(self) -> int:
        """Bits of a window."""


class OpKernel(Parameterized, Generic[T]):
    """The kernel of an op under a fold.

    Attributes:
        operation: the op and its values.
        fold: its parallelism.
        inputs: the words that it reads, per operand that is a stream.
        out: the words that it writes.
    """

    serves: ClassVar[type[Op]]
    """The op, of whose kind the kernel is; its function and its header are named after it, where nothing else is said."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "serves" in vars(cls):
            cls.kind = cls.serves.kind
            cls.functions = vars(cls).get("functions", (cls.kind,))

    def __init__(self, operation: Operation[T], fold: Fold) -> None:
        self.operation = operation
        self.fold = fold
        self.inputs = tuple(Words(value, lanes) for value, lanes in zip(operation.streams, fold.reads, strict=True))
        self.out = Words(operation.out, fold.writes)

    @property
    def function(self) -> str:
        return self.kind

    @property
    def header(self) -> Header:
        return self.from_template(self.function, self.kind)

    @property
    def iterations(self) -> int:
        """WORDS of the result."""
        return self.out.words

    @property
    def op(self) -> T:
        return self.operation.op

    @property
    def x(self) -> Words:
        """The words of the first operand."""
        return self.inputs[0]

    @property
    def window(self) -> WindowStage | None:
        """The stage before it that picks the words under each window."""
        return None

    @property
    def cycles(self) -> int:
        """Per frame, of the slower of its stages; 0 if it has none."""
        if self.relabels(self.operation):
            return 0
        return max(self.iterations, self.window.iterations if self.window else 0)

    def describe(self, settings: Settings) -> None:
        """No settings beyond the formats."""

    @abstractmethod
    def resources(self) -> Resources:
        """Resource usage, estimated, without the FIFO behind it and without its window's stage."""

    def node_resources(self, depth: int = 0) -> Resources:
        """Resource usage of the stages of the node.

        Args:
            depth: words of the FIFOs behind them; 0 leaves them out.
        """
        if self.relabels(self.operation):
            return Resources()
        found = self.resources()
        if self.window is not None:
            found += self.window.resources()
        if depth:
            found += fifo(self.out.word_width, depth)
            if self.window is not None:
                found += fifo(self.window.width, depth)
        return found

    @property
    def parallelism(self) -> str:
        """What a comment says of the fold; empty where it is no more than the words of the streams."""
        return ""

    @classmethod
    def fits(cls, operation: Operation[T]) -> bool:
        """Whether it is the kernel for this use of its op; of an op's kernels exactly one is."""
        return True

    @classmethod
    def relabels(cls, operation: Operation[T]) -> bool:
        """Whether the result is the stream of the operand under another label, so that there is no stage."""
        return False

    @classmethod
    def plain(cls, operation: Operation[T]) -> Fold:
        """Words of up to MAX_LANES codes, a kernel position a cycle."""
        apart = cls.apart(operation)
        ins = [value.channels for value in operation.streams]
        return Fold(tuple(lanes(count // apart) for count in ins), lanes(operation.out.channels // apart))

    @classmethod
    def apart(cls, operation: Operation[T]) -> int:
        """Groups of channels that no cycle may mix."""
        return 1

    @classmethod
    def folds(cls, operation: Operation[T]) -> Iterator[Fold]:
        """Every fold that the kernel can have; words are no wider than MAX_WORD_BITS."""
        width_in = max(value.type.width for value in operation.streams)
        width_out = operation.out.type.width
        for fold in dict.fromkeys(cls.shapes(operation)):
            if fold.simd * width_in <= MAX_WORD_BITS and fold.writes * width_out <= MAX_WORD_BITS:
                for product in cls.products(operation, fold.writes):
                    yield from (replace(fold, product=product, storage=store) for store in cls.stores(operation, fold))
        for fold in cls.pixel_shapes(operation):
            yield from (replace(fold, product=product) for product in cls.products(operation, 0))

    @classmethod
    def shapes(cls, operation: Operation[T]) -> Iterable[Fold]:
        """Codes per word of at most a pixel, and kernel positions; here as many codes in as out."""
        return same_lanes(operation)

    @classmethod
    def pixel_shapes(cls, operation: Operation[T]) -> Iterable[Fold]:
        """Several whole pixels a word, which divide the columns of an image; here none."""
        return ()

    @classmethod
    def products(cls, operation: Operation[T], outputs: int) -> tuple[Product, ...]:
        """Ways to multiply; here nothing is multiplied by constants.

        Args:
            outputs: codes per word of the result; 0 for several pixels.
        """
        return ("",)

    @classmethod
    def stores(cls, operation: Operation[T], fold: Fold) -> tuple[Storage, ...]:
        """Where weights can lie; here there are none."""
        return ("",)


def same_lanes(operation: Operation[Op], taps: Iterable[int] = (1,)) -> list[Fold]:
    """As many codes of every operand in as codes of the result out."""
    count, outputs = len(operation.streams), divisors(operation.out.channels)
    return [Fold((lane,) * count, lane, positions) for positions in taps for lane in outputs]


def own_lanes(operation: Operation[Op], apart: int = 1, taps: Iterable[int] = (1,)) -> list[Fold]:
    """Codes in of one operand and codes out, each divisors of their channels.

    Args:
        apart: groups of channels that no cycle may mix.
        taps: kernel positions per cycle.
    """
    inputs, outputs = divisors(operation.x.channels // apart), divisors(operation.out.channels // apart)
    return [Fold((simd,), pe, positions) for positions in taps for simd in inputs for pe in outputs]
