"""Element-wise ops in few passes over a block that stays in the cache.

A chain follows one value through ops that work element by element. It does not compute each of them by itself: the integers of

    code[c] = scale[c] * t[c] + offset[c]           t: what the block holds

are tracked while it is planned, so that an alignment, a bias, an affine and the rounding offset of a requantize cost one product
and one sum, in float32 or float64. The merged step has a bound of its own, max(|scale| * max|t| + |offset|), which decides the
accumulator dtype (invariant 4). A requantize scales by a power of two, which changes no digit: floor(code * 2**-s + 1/2) in a float
is exact as long as code + 2**(s-1) is. A ReLU before a saturating requantize only raises its lower limit, since rounding keeps
order and 0. The merged step is none of the ops, so that this is how a back end computes a graph and no pass over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from qfx.exact import LIMITS, accumulator_dtype, widest
from qfx.fixed import Overflow, Rounding
from qfx.ir import Value
from qfx.ops import Add, Affine, Clamp, Op, PReLU, ReLU, Requantize
from qfx.ops.ranges import aligned_offsets, output_frac
from qfx.sim.arena import Array, Temps

Calls = list[Callable[[], object]]
"""NumPy calls whose operands are known beforehand."""

_ROUND: dict[Rounding, tuple[int, Any]] = {
    Rounding.TRN: (0, np.floor),
    Rounding.TRN_ZERO: (0, np.trunc),
    Rounding.RND: (1, np.floor),
    Rounding.RND_MIN_INF: (-1, np.ceil),
    Rounding.RND_CONV: (0, np.rint),
}
"""Mode -> halves added before, and the function that rounds. The op itself computes the other modes."""

_SATURATING = (Overflow.SAT, Overflow.SAT_SYM)

_FARTHEST = {"float32": 100, "float64": 900}
"""Bits that a scaling by a power of two may move in a dtype: the smallest results are still normal numbers."""


@dataclass
class Block:
    """One block of a value while its calls are put together.

    Attributes:
        calls: where they go.
        temps: scratch memory.
        columns: which part of the value (channel, element) it is.
        array: what holds the block so far.
        scratch: whether that is scratch memory, which may be changed.
    """

    calls: Calls
    temps: Temps
    columns: slice
    array: Array
    scratch: bool = False

    def apply(self, function: Callable[..., object], dtype: str, *operands: object) -> None:
        """array = function(array, *operands) in `dtype`."""
        if self.array.dtype != dtype:  # a ufunc that converts takes twice as long
            self.move(dtype)
        target = self.temps.get(0, dtype, self.array.shape)
        self.calls.append(partial(function, self.array, *operands, out=target))
        self.array, self.scratch = target, True

    def move(self, dtype: str) -> None:
        """Go on in scratch memory of `dtype`."""
        if not self.scratch or self.array.dtype != dtype:
            target = self.temps.get(0, dtype, self.array.shape)
            self.calls.append(partial(np.copyto, target, self.array))
            self.array, self.scratch = target, True

    def second(self) -> Array:
        """Other scratch memory of the same shape and dtype."""
        return self.temps.get(1, str(self.array.dtype), self.array.shape)


Work = Callable[[Block], None]


def is_elementwise(op: Op, operands: Sequence[Value]) -> bool:
    """Whether a chain can compute this node."""
    if type(op) not in Chain.PLANS:
        return False
    bound = op.bound(operands)
    if isinstance(op, Requantize):
        far = abs(operands[0].type.frac - op.type.frac) > _FARTHEST["float64"]
        if far or op.rounding not in _ROUND or op.overflow not in (*_SATURATING, Overflow.WRAP):
            return False
        bound += (2 << op.type.width) * (op.overflow is Overflow.WRAP)
    return bound < LIMITS["float64"]


class Chain:
    """Plans the ops that one value goes through; `stages` computes them for a block.

    Args:
        largest: greatest magnitude of the integers that come in, in a float dtype.
        channels: rows of a block.
    """

    def __init__(self, largest: int, channels: int) -> None:
        self.stages: list[Work] = []
        self._dtype = accumulator_dtype(largest)
        self._largest = largest  # magnitude of what the block holds
        self._codes = largest  # magnitude of the codes that it stands for
        self._scale, self._offset = [1] * channels, [0] * channels
        self._rectified = False  # code = max(scale * t + offset, 0)

    def add(self, op: Op, operands: Sequence[Value], position: int = 0, others: Sequence[Array] = ()) -> None:
        """Append an op that `is_elementwise`.

        Args:
            position: of the operand that the chain computes.
            others: the computed operands beside it, as (channel, element).
        """
        self._codes = operands[position].type.max_abs
        self.PLANS[type(op)](self, op, operands, position, others)

    def affine(self, scale: Sequence[int], offset: Sequence[int], most: int) -> None:
        """code = scale * code + offset; no product or sum in it has a magnitude above `most`."""
        if self._rectified:
            self.flush()
        merged = [s * a for s, a in zip(scale, self._scale, strict=True)]
        added = [s * b + o for s, b, o in zip(scale, self._offset, offset, strict=True)]
        if self._bound(merged, added) > most:
            self.flush()
            merged, added = list(scale), list(offset)
        self._scale, self._offset, self._codes = merged, added, most

    def flush(self) -> None:
        """Make the block hold the codes."""
        self._apply(0, 0)
        if self._rectified:
            self._stage(np.maximum, 0)
            self._rectified = False
        self._largest = min(self._largest, self._codes)

    def _bound(self, scale: Sequence[int], offset: Sequence[int]) -> int:
        return max(abs(a) * self._largest + abs(b) for a, b in zip(scale, offset, strict=True))

    def _apply(self, down: int, halves: int) -> None:
        """t = (scale * t + offset) * 2**-down + halves / 2."""
        scale, offset = self._scale, [b + halves * (1 << down >> 1) for b in self._offset]
        bound = self._bound(scale, offset)
        self._need(accumulator_dtype(bound) if down <= _FARTHEST["float32"] else "float64")
        if set(scale) != {1} or down:
            self._stage(np.multiply, _constant(scale, down, self._dtype))
        if any(offset):
            self._stage(np.add, _constant(offset, down, self._dtype))
        self._largest = (bound >> down) + 1
        self._scale, self._offset = [1] * len(scale), [0] * len(scale)

    def _need(self, dtype: str) -> None:
        """Go on in float64 if `dtype` is that."""
        self._dtype = widest((self._dtype, dtype))

    def _stage(self, function: Callable[..., object], *operands: object) -> None:
        dtype = self._dtype
        self.stages.append(lambda block: block.apply(function, dtype, *operands))

    def _align(self, up: int, most: int) -> None:
        """code = code * 2**up."""
        self.affine([1 << up] * len(self._scale), [0] * len(self._scale), most)

    def _affine(self, op: Affine, operands: Sequence[Value], position: int, others: Sequence[Array]) -> None:
        x, scale, offset = operands
        frac = output_frac(x, scale, offset)
        up = frac - x.type.frac - scale.type.frac
        offsets = aligned_offsets(offset, frac, offset.size)
        each_scale, each_offset = x.channels // scale.size, x.channels // offset.size  # one may serve all channels
        self.affine([int(code) << up for code in scale.codes] * each_scale, offsets * each_offset, op.bound(operands))

    def _relu(self, op: ReLU, operands: Sequence[Value], position: int, others: Sequence[Array]) -> None:
        self._rectified = True

    def _clamp(self, op: Clamp, operands: Sequence[Value], position: int, others: Sequence[Array]) -> None:
        (x,) = operands
        self._align(op.result_frac(x) - x.type.frac, op.bound(operands))
        self.flush()
        self._need(accumulator_dtype(op.bound(operands)))
        self._stage(_clip, *op.limits(x))
        self._largest = op.bound(operands)

    def _requantize(self, op: Requantize, operands: Sequence[Value], position: int, others: Sequence[Array]) -> None:
        down = operands[0].type.frac - op.type.frac
        low = op.type.min_int
        if op.overflow is Overflow.SAT_SYM and op.type.signed and op.type.width > 1:
            low = -op.type.max_int
        if self._rectified and op.overflow in _SATURATING:
            low, self._rectified = 0, False
        if down <= 0:
            self._align(-down, op.bound(operands))
            self.flush()
        else:
            self._round(down, *_ROUND[op.rounding])
        if op.overflow in _SATURATING:
            self._stage(_clip, low, op.type.max_int)
        else:
            self._wrap(op.type.min_int, op.type.width)
        self._largest = op.type.max_abs

    def _round(self, down: int, halves: int, function: Callable[..., object]) -> None:
        """t = function(code * 2**-down + halves / 2)."""
        if self._rectified or self._bound(self._scale, self._offset) + (1 << down >> 1) >= LIMITS["float64"]:
            self.flush()
        self._apply(down, halves)
        self._stage(function)

    def _wrap(self, low: int, width: int) -> None:
        """t -= 2**width * floor((t - low) * 2**-width)."""
        self._need(accumulator_dtype(self._largest + (2 << width)))
        dtype, turn = self._dtype, 2.0**width

        def stage(block: Block) -> None:
            block.move(dtype)
            turns = block.second()
            block.calls.append(partial(np.subtract, block.array, float(low), out=turns))
            block.calls.append(partial(np.multiply, turns, 1 / turn, out=turns))
            block.calls.append(partial(np.floor, turns, out=turns))
            block.calls.append(partial(np.multiply, turns, turn, out=turns))
            block.calls.append(partial(np.subtract, block.array, turns, out=block.array))

        self.stages.append(stage)

    def _prelu(self, op: PReLU, operands: Sequence[Value], position: int, others: Sequence[Array]) -> None:
        """t = max(t, 0) * 2**up + min(t, 0) * slope."""
        slope = operands[1]
        self.flush()
        self._need(accumulator_dtype(op.bound(operands)))
        dtype, up = self._dtype, max(0, slope.type.frac)
        factors = _constant([int(code) << max(0, -slope.type.frac) for code in slope.codes], 0, dtype)

        def stage(block: Block) -> None:
            block.move(dtype)
            negative = block.second()
            block.calls.append(partial(np.minimum, block.array, 0, out=negative))
            block.calls.append(partial(np.multiply, negative, factors, out=negative))
            block.calls.append(partial(np.maximum, block.array, 0, out=block.array))
            block.calls.append(partial(np.multiply, block.array, 2.0**up, out=block.array))
            block.calls.append(partial(np.add, block.array, negative, out=block.array))

        self.stages.append(stage)
        self._largest = op.bound(operands)

    def _sum(self, op: Add, operands: Sequence[Value], position: int, others: Sequence[Array]) -> None:
        frac = max(value.type.frac for value in operands)
        self._align(frac - operands[position].type.frac, op.bound(operands))
        self.flush()
        self._need(accumulator_dtype(op.bound(operands)))
        dtype, up, (other,) = self._dtype, frac - operands[1 - position].type.frac, others

        def stage(block: Block) -> None:
            block.move(dtype)
            added = block.second()
            block.calls.append(partial(np.copyto, added, other[:, block.columns]))
            if up:
                block.calls.append(partial(np.multiply, added, 2.0**up, out=added))
            terms = (block.array, added) if position == 0 else (added, block.array)
            block.calls.append(partial(np.subtract if op.minus else np.add, *terms, out=block.array))

        self.stages.append(stage)
        self._largest = op.bound(operands)

    PLANS: ClassVar[dict[type[Op], Callable[..., None]]] = {
        Add: _sum,
        Affine: _affine,
        Clamp: _clamp,
        PReLU: _prelu,
        ReLU: _relu,
        Requantize: _requantize,
    }
    """Op -> what plans it."""


def _constant(codes: Sequence[int], down: int, dtype: str) -> Any:
    """codes * 2**-down for each channel, or once if they are all the same."""
    numbers = np.ldexp(np.array(codes, np.float64), -down).astype(dtype)
    return numbers[0] if len(set(codes)) == 1 else numbers[:, None]


def _clip(array: Array, low: int, high: int, out: Array) -> None:
    np.clip(array, low, high, out=out)
