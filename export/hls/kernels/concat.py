"""concat: several values, one after the other along an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from qfx import ops
from qfx.export.cost.resources import Resources
from qfx.export.hls.folding import Fold, divisors
from qfx.export.hls.kernels.base import Header, Touched, every
from qfx.export.hls.kernels.movement import Movement
from qfx.export.hls.operation import Operation
from qfx.export.hls.stage_settings import Settings
from qfx.export.hls.words import Words


class Concat(Movement[ops.Concat]):
    """Values one after the other, each aligned to the finest of their grids: whole words, or code by code along channels."""

    serves = ops.Concat
    functions = ("concat#", "concat#_words")
    latency = 3

    def __init__(self, operation: Operation[ops.Concat], fold: Fold) -> None:
        super().__init__(operation, fold)
        self.takes = (
            f"a shift{' per lane' if self.whole_words else ''} and a choice of inputs{'' if self.whole_words else ' and lanes'}"
        )

    @property
    def whole_words(self) -> bool:
        """Whether all operands have as many lanes as the result, so that whole words go on."""
        return all(part.lanes == self.out.lanes for part in self.inputs)

    @property
    def turns(self) -> int:
        """How often the operands come one after the other: once for rows, once per row for columns, per pixel for channels."""
        return self.out.pixels if self.op.axis == 0 else math.prod(self.out.value.shape[1 : self.op.axis])

    @property
    def function(self) -> str:
        return f"concat{len(self.inputs)}{'_words' if self.whole_words else ''}"

    @property
    def header(self) -> Header:
        return self.from_template(self.function, "concat", count=len(self.inputs), words="_words" if self.whole_words else "")

    def describe(self, settings: Settings) -> None:
        if self.whole_words:
            settings.constant(turns=self.turns, turn_words=self.out.words // self.turns)
        for index, (part, _, end) in enumerate(self._parts()):
            settings.constant(**{f"shift_{index}": self.out.type.frac - part.type.frac, f"end_{index}": end})

    def _parts(self) -> Iterator[tuple[Words, int, int]]:
        """Each operand with its first place in a turn and the one behind its last; places are words, or channels."""
        start = 0
        for part in self.inputs:
            end = start + (part.words // self.turns if self.whole_words else part.channels)
            yield part, start, end
            start = end

    def kept(self) -> Resources:
        """A choice among the operands for every bit of a word: four to one in a LUT of six inputs."""
        return Resources(lut=self.out.word_width * math.ceil((len(self.inputs) - 1) / 3))

    @property
    def iterations(self) -> int:
        """WORDS of the result, or its codes."""
        return self.out.words if self.whole_words else self.out.value.size

    def touched(self) -> Touched:
        if self.whole_words:
            steps = every(self.iterations).reshape(self.turns, -1)
            return Touched({i: steps[:, start:end].ravel() for i, (_, start, end) in enumerate(self._parts())}, {0: steps.ravel()})
        steps = every(self.iterations).reshape(-1, self.out.channels)
        reads = {i: steps[:, start : end : part.lanes].ravel() for i, (part, start, end) in enumerate(self._parts())}
        return Touched(reads, {0: every(self.out.words, self.out.lanes, self.out.lanes - 1)})

    @classmethod
    def shapes(cls, operation: Operation[ops.Concat]) -> Iterable[Fold]:
        ins = [value.channels for value in operation.streams]
        found = [Fold((lane,) * len(ins), lane) for lane in divisors(math.gcd(*ins))]
        if operation.op.axis == 0:  # code by code; along other axes whole words go on
            found += [Fold((1,) * len(ins), pe) for pe in divisors(operation.out.channels)]
        return found
