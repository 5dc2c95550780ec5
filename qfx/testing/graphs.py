"""Random graphs over all ops: forks, joins at different depths, formats at the edges of what is allowed.

`random_graph(Seeded(7))` gives the same graph everywhere; `qfx.testing.strategies.graphs()` is the same as a hypothesis strategy.
What a random node of an op looks like is said by its maker, registered with `makes`; an op that has no constants and no maker takes
attributes from its samples. A test names an op that has neither. The simple ops come first, as that is what hypothesis shrinks to;
another order, or another op, makes other graphs of the same seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from qfx.annotations import explained
from qfx.errors import FormatError, GraphError
from qfx.export.hls.kernels import SERVED
from qfx.fixed import FixedType, IntArray, Overflow, Rounding
from qfx.ir import Graph, GraphBuilder, Value
from qfx.ops import (
    OPS,
    Add,
    Affine,
    ArgMax,
    AvgPool2d,
    Clamp,
    Concat,
    Conv2d,
    Linear,
    Lookup,
    MaxPool2d,
    Multiply,
    Pad,
    PReLU,
    Rearrange,
    ReLU,
    Requantize,
    Reshape,
    Shift,
    Slice,
    Upsample,
)
from qfx.ops.base import Op
from qfx.ops.sampling import corner_codes, khot_constant, random_codes
from qfx.ops.windows import ceil_extra
from qfx.testing.choices import Choices, counted

MOST_ELEMENTS = 300
"""Of a value."""
MOST_BITS = 40
"""Of a value; the bound of a node stays below 2**53, which ONNX and torch need."""
WIDE = 14
"""Bits from which a value is requantized before it is widened further."""

Step = tuple[Op, list[Value]]
Maker = Callable[[Choices, Value, Sequence[Value]], Step]
"""Makes a node that reads a value, and perhaps others of those there are; constants among its operands are added to the graph."""


class Unfit(Exception):
    """This op does not fit this value."""


@dataclass(frozen=True)
class _Made:
    """A registered maker.

    Attributes:
        often: how often it is tried.
        widens: whether results may have more bits than the operand.
    """

    make: Maker
    often: int
    widens: bool


MAKERS: dict[str, _Made] = {}
"""By kind of op."""


@explained
def makes(op: type[Op], often: int = 2, widens: bool = True) -> Callable[[Maker], Maker]:
    """Register the maker of an op.

    Args:
        often: how often it is tried, compared with others; ops that fit few values more often.
        widens: whether a result may have more bits than the first operand.
    """

    def register(make: Maker) -> Maker:
        MAKERS[op.kind] = _Made(make, often, widens)
        return make

    return register


def hls_kinds() -> frozenset[str]:
    """Ops that the HLS export has a kernel for, or that need none."""
    return frozenset(op.kind for op in SERVED)


@explained
def random_graph(choices: Choices, kinds: Collection[str] = frozenset(OPS), steps: int = 8) -> Graph:
    """A graph of one input and one output in which every value is read.

    Args:
        kinds: ops that may occur; those of `ALWAYS` do in any case.
        steps: nodes, beside those that bring the loose ends together.

    Raises:
        InputError: fewer than one step.
    """
    build = GraphBuilder("random")
    shape = choices.pick([(2, 5, 4), (1, 3, 3), (4, 4, 4), (3, 7, 6), (8, 3, 2), (12, 2, 3), (16, 1, 1), (5,), (12,)])
    pool = [build.input("x", small_type(choices), shape)]
    makers = [made for kind, made in MAKERS.items() if kind in kinds or kind in ALWAYS for _ in range(made.often)]
    for number in range(choices.integer(1, counted(steps))):
        x = pool[max(0, len(pool) - choices.integer(1, 4))]
        made = choices.pick(makers)
        if x.type.width > WIDE and made.widens and choices.chance(80):
            made = MAKERS["requantize"]
        try:
            step = made.make(choices, x, pool)
            pool.append(_add(build, f"n{number}.{step[0].kind}", *step))
        except (Unfit, GraphError, FormatError):
            continue
    if len(pool) == 1:
        pool.append(_add(build, "n.requantize", *_requantize(choices, pool[0], pool)))
    return _joined(choices, build, pool, kinds)


ALWAYS = frozenset({"requantize", "reshape", "linear", "add"})
"""What brings loose ends together."""


def _add(build: GraphBuilder, name: str, op: Op, operands: Sequence[Value]) -> Value:
    type, shape = op.infer(operands)
    if math.prod(shape) > MOST_ELEMENTS or type.width > MOST_BITS or op.bound(operands) >= 1 << 52:
        raise Unfit
    named = [v if v.constant is None else build.constant(f"{name}.{v.name}", v.type, v.constant) for v in operands]
    return build.add(name, op, *named)


def _joined(choices: Choices, build: GraphBuilder, pool: list[Value], kinds: Collection[str]) -> Graph:
    """Bring what nothing reads together in one output: by concatenation, or each through a linear layer and then a sum."""
    graph = build.build(pool[-1])
    loose = [value for value in pool if not graph.consumers(value.name)]
    if len(loose) == 1:
        return graph
    flat = [_flat(choices, build, value, f"end{number}") for number, value in enumerate(loose)]
    if "concat" in kinds and choices.chance(50):
        return build.build(build.add("end.concat", Concat(), *flat))
    features = choices.integer(1, 4)
    total: Value | None = None
    for number, value in enumerate(flat):
        weight = constant(choices, "weight", (features, value.size))
        part = _add(build, f"end{number}.linear", Linear(), [value, weight])
        total = part if total is None else build.add(f"end{number}.add", Add(), total, part)
    assert total is not None
    return build.build(total)


def _flat(choices: Choices, build: GraphBuilder, value: Value, name: str) -> Value:
    target = FixedType(value.type.signed, min(value.type.width, choices.integer(1, 8)), 0)
    value = build.add(f"{name}.requantize", Requantize(target, Rounding.TRN, Overflow.WRAP), value)
    return value if len(value.shape) == 1 else build.add(f"{name}.flat", Reshape((value.size,)), value)


def small_type(choices: Choices) -> FixedType:
    """Width 1 to 12; negative frac and frac above the width among them."""
    width = choices.pick([4, 1, 2, 3, 5, 6, 8, 12])
    return FixedType(choices.chance(50), width, choices.pick([0, 2, -3, width, width + 4, 1]))


def constant(choices: Choices, name: str, shape: tuple[int, ...], digits: int | None = None) -> Value:
    """Random codes; with one binary point per row among them, the finest grid holds them all."""
    type, seed = small_type(choices), choices.integer(0, 1 << 20)
    if digits is not None:
        type = FixedType(True, max(type.width, 2), type.frac)
        return khot_constant(name, type, shape, seed, digits)
    codes = random_codes(type, shape, seed)
    if choices.chance(20):
        shifts = np.random.default_rng(seed).integers(0, 4, (shape[0], *(1 for _ in shape[1:])))
        return Value(name, FixedType(type.signed, type.width + 3, type.frac + 3), shape, codes << shifts)
    if choices.chance(10):
        return Value(name, type, shape, np.zeros_like(codes))
    return Value(name, type, shape, codes)


def _digits(choices: Choices) -> int | None:
    return choices.pick([None, None, 1, 2, 3])


def _image(x: Value) -> tuple[int, int]:
    if len(x.shape) != 3:
        raise Unfit
    return x.shape[1], x.shape[2]


def _pair(choices: Choices, low: int, high: int) -> tuple[int, int]:
    return choices.integer(low, high), choices.integer(low, high)


def overflow_modes(signed: bool) -> list[Overflow]:
    """Those that a format of this sign takes."""
    return [mode for mode in Overflow if signed or mode is not Overflow.WRAP_SM]


def _partner(choices: Choices, x: Value, pool: Sequence[Value], alike: Callable[[Value], bool]) -> Value:
    return choices.pick([value for value in pool if value is not x and alike(value)] or [x])


def _window(choices: Choices, x: Value) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    rows, columns = _image(x)
    kernel = (min(rows, choices.integer(1, 3)), min(columns, choices.integer(1, 3)))
    return kernel, _pair(choices, 1, 3), (choices.integer(0, kernel[0] // 2), choices.integer(0, kernel[1] // 2))


@makes(Requantize, widens=False)
def _requantize(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    width = choices.pick([4, 1, 2, 3, 5, 6, 8, 10])
    kept = x.type.width - x.type.frac - choices.integer(-1, 3)  # integer bits, so that something is left of most values
    frac = width - kept if choices.chance(90) else choices.integer(-6, 12)
    signed = choices.chance(50)
    overflow = choices.pick(overflow_modes(signed))
    return Requantize(FixedType(signed, width, frac), choices.pick(list(Rounding)), overflow), [x]


@makes(ReLU, widens=False)
def _relu(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    return ReLU(), [x]


@makes(Conv2d, often=8)
def _conv2d(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    _image(x)
    groups = choices.pick([n for n in range(1, x.channels + 1) if x.channels % n == 0])
    outputs = groups * choices.integer(1, max(1, 12 // groups))
    kernel, digits = _pair(choices, 1, 3), _digits(choices)
    dilation = _pair(choices, 1, 2) if choices.chance(25) else (1, 1)
    extra = _pair(choices, 0, 2) if choices.chance(25) else (0, 0)
    op = Conv2d(_pair(choices, 1, 2), _pair(choices, 0, 2), dilation, groups, digits, extra)
    operands = [x, constant(choices, "weight", (outputs, x.channels // groups, *kernel), digits)]
    return op, [*operands, constant(choices, "bias", (outputs,))] if choices.chance(40) else operands


@makes(Add)
def _add_two(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    return Add(choices.chance(40)), [x, _partner(choices, x, pool, lambda value: value.shape == x.shape)]


@makes(Affine, often=3)
def _affine(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    digits = _digits(choices)
    shape = (1,) if choices.chance(30) else (x.channels,)
    offset = constant(choices, "offset", shape)
    return Affine(digits), [x, constant(choices, "scale", shape, digits), offset]


@makes(PReLU, often=3)
def _prelu(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    digits = _digits(choices)
    return PReLU(digits), [x, constant(choices, "slope", (x.channels,), digits)]


@makes(MaxPool2d, often=3, widens=False)
def _max_pool2d(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    kernel, stride, padding = _window(choices, x)
    dilation = _pair(choices, 1, 2) if choices.chance(25) else (1, 1)
    extra = ceil_extra(_image(x), kernel, stride, padding, dilation) if choices.chance(30) else (0, 0)
    return MaxPool2d(kernel, stride, padding, dilation, extra), [x]


@makes(AvgPool2d, often=3)
def _avg_pool2d(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    kernel, stride, padding = _window(choices, x) if choices.chance(70) else (_image(x), _image(x), (0, 0))
    extra = ceil_extra(_image(x), kernel, stride, padding) if choices.chance(30) else (0, 0)
    op = AvgPool2d(kernel, stride, padding, None, extra, choices.chance(60))
    if op.uniform and op.area & (op.area - 1) == 0:
        return op, [x]
    width = choices.integer(4, 10)
    reciprocal = FixedType(False, width + 1, width + int(op.areas(_image(x)).min()).bit_length() - 1)
    return AvgPool2d(kernel, stride, padding, reciprocal, extra, op.include_pad), [x]


@makes(Reshape, often=1, widens=False)
def _reshape(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    rows = choices.pick([n for n in (1, 2, 3, 4) if x.size % n == 0])
    image = (x.size // rows, rows, 1) if choices.chance(50) else (rows, 1, x.size // rows)
    return Reshape(choices.pick([(x.size,), image])), [x]


@makes(Linear)
def _linear(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    if len(x.shape) != 1:
        raise Unfit
    outputs, digits = choices.integer(1, 12), _digits(choices)
    operands = [x, constant(choices, "weight", (outputs, x.size), digits)]
    return Linear(digits), [*operands, constant(choices, "bias", (outputs,))] if choices.chance(40) else operands


@makes(Clamp)
def _clamp(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    frac = x.type.frac + choices.integer(-2, 2)
    low = choices.integer(-8, 7)
    return Clamp(choices.pick([low, None]), low + choices.integer(0, 15), frac), [x]


@makes(Concat)
def _concat(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    axis = choices.integer(0, len(x.shape) - 1)

    def alike(value: Value) -> bool:
        return [*value.shape[:axis], *value.shape[axis + 1 :]] == [*x.shape[:axis], *x.shape[axis + 1 :]]

    others = [_partner(choices, x, pool, alike) for _ in range(choices.integer(1, 2))]
    return Concat(axis), [x, *others] if choices.chance(50) else [*others, x]


@makes(Multiply)
def _multiply(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    shapes = (x.shape, (x.channels, *(1 for _ in x.shape[1:])))
    return Multiply(), [x, _partner(choices, x, pool, lambda value: value.shape in shapes)]


@makes(Pad, widens=False)
def _pad(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    _image(x)
    return Pad(_pair(choices, 0, 2), _pair(choices, 0, 2), choices.pick([0, x.type.min_int, x.type.max_int])), [x]


@makes(Upsample)
def _upsample(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    return Upsample(_pair(choices, 1, 3), choices.chance(50)), [x]


@makes(Rearrange)
def _rearrange(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    rows, columns = _image(x)
    factor = choices.pick([n for n in range(1, x.channels + 1) if x.channels % n == 0])
    rest = x.channels // factor
    shuffled = Rearrange((factor, rest, rows, columns), (1, 0, 2, 3), x.shape)
    swapped = Rearrange(x.shape, (0, 2, 1), (x.channels, columns, rows))
    moved = Rearrange(x.shape, (1, 2, 0), (rows, columns, x.channels))
    root = math.isqrt(factor)
    blocks = Rearrange((rest, root, root, rows, columns), (0, 3, 1, 4, 2), (rest, rows * root, columns * root))
    return choices.pick([shuffled, swapped, moved, *([blocks] if root * root == factor else [])]), [x]


@makes(Slice, widens=False)
def _slice(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    starts = tuple(choices.integer(0, extent - 1) for extent in x.shape)
    stops = tuple(choices.integer(start + 1, extent) for start, extent in zip(starts, x.shape, strict=True))
    return Slice(starts, stops, tuple(choices.integer(1, 2) for _ in x.shape)), [x]


@makes(Shift, widens=False)
def _shift(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    return Shift(choices.integer(-4, 4)), [x]


@makes(Lookup)
def _lookup(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    if x.type.width > 8:
        raise Unfit
    return Lookup("random"), [x, constant(choices, "table", (1 << x.type.width,))]


@makes(ArgMax, often=1, widens=False)
def _argmax(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
    return ArgMax(), [x]


def _alike(op: type[Op]) -> Maker:
    """The maker of an op without one of its own: the attributes of one of its samples, and values of the shape of the first."""

    def make(choices: Choices, x: Value, pool: Sequence[Value]) -> Step:
        sample = choices.pick(op.samples())
        others = [_partner(choices, x, pool, lambda value: value.shape == x.shape) for _ in sample.operands[1:]]
        return sample.op, [x, *others]

    return make


for _op in OPS.values():
    if _op.kind not in MAKERS and not _op.constant_operands:
        makes(_op)(_alike(_op))


@explained
def random_inputs(graph: Graph, count: int, seed: int) -> IntArray:
    """Corners of the input format, then random codes: (count, *shape)."""
    value = graph.values[graph.inputs[0]]
    corners = corner_codes(value.type, value.shape)[:count]
    return np.concatenate([corners, random_codes(value.type, (count - len(corners), *value.shape), seed)])
