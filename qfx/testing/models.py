"""Random torch models over the layers of qfx.nn and the torch functions that lowering takes, calibrated on random data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import qfx.nn as qnn
from qfx.annotations import explained
from qfx.conversion import calibrate
from qfx.errors import QfxError
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.frontend.pooling import is_power_of_two
from qfx.ops.sampling import random_codes
from qfx.quant import QuantSpec, set_enabled
from qfx.testing.choices import Choices, counted
from qfx.testing.graphs import MOST_ELEMENTS, Unfit, overflow_modes, small_type

Shape = tuple[int, ...]
Call = Callable[..., Tensor]
Maker = Callable[[Choices, Shape, Sequence[Shape]], tuple[Call, list[int]]]
"""Makes a step for a value of a shape, given the shapes of all values; gives the module or function, and which others (by index)
it reads, too. What does not fit raises `Unfit`; that, and what torch or the layer refuses, is passed over."""


class RandomModel(qnn.Model):
    """Steps one after the other, each on values computed before; returns the last, joined with all that nothing else reads.

    Attributes:
        input_type, input_shape: what the model takes.
    """

    def __init__(self, type: FixedType, shape: Shape) -> None:
        super().__init__()
        self.input_type, self.input_shape = type, shape
        self.given = qnn.QuantInput(type=type)
        self.layers = nn.ModuleList()
        self.steps: list[tuple[int | Call, list[int]]] = []

    def append(self, call: Call, operands: list[int]) -> None:
        """Add a step."""
        if isinstance(call, nn.Module):
            self.layers.append(call)
            self.steps.append((len(self.layers) - 1, operands))
        else:
            self.steps.append((call, operands))

    def forward(self, x: Tensor) -> Tensor:
        values = [self.given(x)]
        for call, operands in self.steps:
            step: Any = self.layers[call] if isinstance(call, int) else call
            values.append(step(*(values[index] for index in operands)))
        return values[-1]

    def loose(self) -> list[int]:
        """Values that nothing reads."""
        read = {index for _, operands in self.steps for index in operands}
        return [index for index in range(len(self.steps) + 1) if index not in read]


@explained
def random_model(choices: Choices, steps: int = 8, makers: Sequence[Maker] = ()) -> RandomModel:
    """A calibrated model in eval.

    Args:
        steps: at most, beside those that bring loose ends together.
        makers: of the steps to choose from; by default `MAKERS`, to which a maker of your own can be added.

    Raises:
        InputError: fewer than one step.
        QfxError: what was drawn is refused, such as formats that no engine could compute.
    """
    torch.manual_seed(choices.integer(0, 1 << 20))
    shape: Shape = choices.pick([(2, 5, 4), (3, 6, 6), (4, 4, 4), (1, 3, 3), (8, 3, 2), (6, 8), (4, 7), (9,), (16,)])
    model = RandomModel(small_type(choices), shape)
    shapes: list[Shape] = [shape]
    for _ in range(choices.integer(1, counted(steps))):
        at = max(0, len(shapes) - choices.integer(1, 3))
        try:
            call, others = choices.pick(makers or MAKERS)(choices, shapes[at], shapes)
            shapes.append(_result(call, [shapes[index] for index in (at, *others)]))
        except (Unfit, QfxError, RuntimeError, ValueError):  # what does not fit, torch or the layer refuses
            continue
        model.append(call, [at, *others])
    _join(choices, model, shapes)
    with torch.random.fork_rng():
        calibrate(model, [torch.from_numpy(random_codes(model.input_type, (16, *shape), choices.integer(0, 99)))])
    return model.eval()


def _result(call: Call, shapes: Sequence[Shape]) -> Shape:
    """The shape that a step makes, from a try in floating point."""
    if isinstance(call, nn.Module):
        set_enabled(call, False)
        call.eval()
    with torch.no_grad():
        shape = tuple(call(*(torch.zeros(2, *shape) for shape in shapes)).shape)
    if isinstance(call, nn.Module):
        set_enabled(call, True)
    if shape[0] != 2 or len(shape) not in (2, 3, 4) or not 0 < torch.Size(shape).numel() <= 2 * MOST_ELEMENTS:
        raise Unfit
    return shape[1:]


def _join(choices: Choices, model: RandomModel, shapes: list[Shape]) -> None:
    """Everything that nothing reads ends in one output: flattened, concatenated, and perhaps a classifier behind it."""
    if not model.steps:
        model.append(qnn.Quantize(spec(choices, signed=True)), [0])
        return
    loose = model.loose()
    if loose == [len(model.steps)]:
        return
    for position, index in enumerate(loose):
        model.append(qnn.Quantize(spec(choices, signed=True)), [index])
        loose[position] = len(model.steps)
        if len(shapes[index]) > 1:
            model.append(nn.Flatten(), [loose[position]])
            loose[position] = len(model.steps)
    model.append(_concat, loose)
    if choices.chance(50):
        features = sum(torch.Size(shapes[index]).numel() for index in [*model_sources(model, loose)])
        model.append(qnn.Linear(features, choices.integer(1, 5), **constants(choices)), [len(model.steps)])


def model_sources(model: RandomModel, indices: Sequence[int]) -> list[int]:
    """The values that the casts before a join read."""
    found: list[int] = []
    for index in indices:
        call, operands = model.steps[index - 1]
        while not (isinstance(call, int) and isinstance(model.layers[call], qnn.Quantize)):
            call, operands = model.steps[operands[0] - 1]
        found.append(operands[0])
    return found


def spec(choices: Choices, signed: bool | None = None) -> QuantSpec:
    """An activation's format: width 1 to 10, any rounding and overflow; the binary point mostly from calibration."""
    frac = None if choices.chance(80) else choices.integer(-3, 8)
    width = choices.pick([4, 1, 2, 3, 5, 6, 8, 10])
    sign = choices.chance(50) if signed is None else signed
    return QuantSpec(width, sign, frac, rounding=choices.pick(list(Rounding)), overflow=choices.pick(overflow_modes(sign)))


def maybe_spec(choices: Choices) -> QuantSpec | None:
    """Mostly a cast, sometimes none."""
    return None if choices.chance(30) else spec(choices)


def weight_spec(choices: Choices, k_hot: bool = True) -> QuantSpec:
    """A constant's format: K-hot or not, one binary point or one per channel."""
    width, per_channel = choices.pick([4, 2, 3, 5, 6, 8, 1]), choices.chance(30)
    digits = choices.pick([None, None, 1, 2, 3]) if k_hot else None
    if digits is not None:
        return QuantSpec(max(2, width), per_channel=per_channel, k_hot=digits)
    return QuantSpec(width, per_channel=per_channel, rounding=choices.pick(list(Rounding)), overflow=choices.pick(list(Overflow)))


def constants(choices: Choices) -> dict[str, Any]:
    """Settings that convolutions and linear layers share."""
    biased, weight, bias = choices.chance(50), weight_spec(choices), weight_spec(choices, k_hot=False)
    return {"weight": weight, "bias": biased and bias, "accumulator": spec(choices, True) if choices.chance(30) else None}


def _dims(shape: Shape, *wanted: int) -> None:
    if len(shape) not in wanted:
        raise Unfit


def _divisor(choices: Choices, number: int) -> int:
    return choices.pick([n for n in range(1, number + 1) if number % n == 0])


def _conv(choices: Choices, shape: Shape, shapes: Sequence[Shape]) -> tuple[Call, list[int]]:
    _dims(shape, 2, 3)
    groups = _divisor(choices, shape[0])
    outputs = groups * choices.integer(1, max(1, 10 // groups))
    kernel, dilation = choices.integer(1, 3), choices.pick([1, 1, 2])
    if choices.chance(20):
        settings: dict[str, Any] = {"padding": "same"}
    else:
        settings = {"stride": choices.integer(1, 2), "padding": choices.integer(0, 2)}
    layer = qnn.Conv2d if len(shape) == 3 else qnn.Conv1d
    return layer(shape[0], outputs, kernel, dilation=dilation, groups=groups, **settings, **constants(choices)), []


def _conv_transpose(choices: Choices, shape: Shape, shapes: Sequence[Shape]) -> tuple[Call, list[int]]:
    _dims(shape, 2, 3)
    groups, stride, kernel = _divisor(choices, shape[0]), choices.integer(1, 3), choices.integer(1, 3)
    outputs = groups * choices.integer(1, max(1, 6 // groups))
    padding, more = choices.integer(0, kernel - 1), choices.integer(0, stride - 1)
    layer = qnn.ConvTranspose2d if len(shape) == 3 else qnn.ConvTranspose1d
    return layer(shape[0], outputs, kernel, stride, padding, more, groups, **constants(choices)), []


def _linear(choices: Choices, shape: Shape, shapes: Sequence[Shape]) -> tuple[Call, list[int]]:
    _dims(shape, 1)
    return qnn.Linear(shape[0], choices.integer(1, 12), **constants(choices)), []


def _batch_norm(choices: Choices, shape: Shape, shapes: Sequence[Shape]) -> tuple[Call, list[int]]:
    kind = qnn.BatchNorm2d if len(shape) == 3 else qnn.BatchNorm1d
    layer = kind(shape[0], scale=weight_spec(choices), offset=weight_spec(choices, k_hot=False))
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias, layer.running_mean):
            parameter.normal_()
        layer.running_var.uniform_(0.1, 4.0)
    return layer, []


def _activation(choices: Choices, shape: Shape, shapes: Sequence[Shape]) -> tuple[Call, list[int]]:
    match choices.integer(0, 5):
        case 0:
            return qnn.ReLU(output=maybe_spec(choices)), []
        case 1:
            return qnn.ReLU6(output=maybe_spec(choices)), []
        case 2:
            low = choices.pick([-1.0, -0.25, 0.0, 2.0])
            return qnn.Hardtanh(low, low + choices.pick([0.5, 3.0]), output=maybe_spec(choices)), []
        case 3:
            slopes, slope = choices.pick([1, shape[0]]), weight_spec(choices)
            return qnn.PReLU(slopes, slope=slope, input=maybe_spec(choices), output=maybe_spec(choices)), []
        case 4:
            table = choices.pick([qnn.Sigmoid, qnn.Tanh, qnn.SiLU, qnn.Hardswish, qnn.GELU, qnn.Hardsigmoid])
            return table(input=spec(choices), output=spec(choices)), []
        case _:
            return qnn.Quantize(spec(choices)), []


def _pool(choices: Choices, shape: Shape, shapes: Sequence[Shape]) -> tuple[Call, list[int]]:
    _dims(shape, 2, 3)
    image, kernel, stride = len(shape) == 3, choices.integer(1, 3), choices.integer(1, 3)
    padding, ceil = choices.integer(0, kernel // 2), choices.chance(30)
    if choices.chance(50):
        pool = qnn.MaxPool2d if image else qnn.MaxPool1d
        return pool(kernel, stride, padding, choices.pick([1, 1, 2]), ceil_mode=ceil, output=maybe_spec(choices)), []
    if choices.chance(30):
        adaptive = qnn.AdaptiveAvgPool2d if image else qnn.AdaptiveAvgPool1d
        return adaptive(choices.pick([1, 2]), output=maybe_spec(choices)), []
    average = qnn.AvgPool2d if image else qnn.AvgPool1d
    return average(kernel, stride, padding, ceil, choices.chance(60), output=maybe_spec(choices)), []


def _two(choices: Choices, shape: Shape, shapes: Sequence[Shape]) -> tuple[Call, list[int]]:
    other = choices.pick([index for index, there in enumerate(shapes) if there == shape])
    layer = qnn.Add(spec(choices, True), maybe_spec(choices))
    return choices.pick([layer, _plus, _minus, _times, _doubled, _longer]), [other]


def _plus(a: Tensor, b: Tensor) -> Tensor:
    return a + b


def _minus(a: Tensor, b: Tensor) -> Tensor:
    return a - b


def _times(a: Tensor, b: Tensor) -> Tensor:
    return a * b


def _doubled(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b], 1)


def _longer(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b, a], -1)


def _concat(*values: Tensor) -> Tensor:
    return torch.cat(values, 1)


Function = Callable[[Tensor], Tensor]

FUNCTIONS: list[Function] = [
    torch.relu,
    nn.Flatten(),
    nn.Identity(),
    nn.Dropout(),
    lambda x: x.clamp(-0.5, 1.5),
    lambda x: x.clamp(min=-0.75),
    lambda x: x.contiguous().view(x.size(0), -1),
    lambda x: x.chunk(2, 1)[0],
    lambda x: x[:, ::2],
    lambda x: torch.split(x, 1, 1)[0],  # pyright: ignore[reportPrivateImportUsage]
    lambda x: x.narrow(1, 0, 1),
    lambda x: x * 0.5,
    lambda x: x / -4,
    lambda x: x * 1.375,
    lambda x: x + 1,
    lambda x: 0.75 - x,
]
"""Of any value."""

OF_IMAGES: list[Function] = [
    nn.ZeroPad2d((0, 1, 2, 0)),
    nn.Upsample(scale_factor=2),
    lambda x: functional.pixel_shuffle(x, 2),
    lambda x: functional.channel_shuffle(x, 2),
    lambda x: functional.pad(x, (1, 0, 0, 2)),
    lambda x: functional.max_pool2d(x, 2, ceil_mode=True),
    lambda x: functional.avg_pool2d(x, 2),
    lambda x: x.transpose(2, 3),
    lambda x: torch.cat([x, -x], 2),
    lambda x: x.permute(0, 2, 3, 1),
    lambda x: x[:, :, 1:, :-1],
]

MEANS: list[Function] = [
    lambda x: x.mean((2, 3)),
    lambda x: x.mean((2, 3), keepdim=True),
    lambda x: x * x.mean((2, 3), keepdim=True),
]
"""Of images with a power of two of pixels."""


def _function(choices: Choices, shape: Shape, shapes: Sequence[Shape]) -> tuple[Call, list[int]]:
    found = list(FUNCTIONS)
    if len(shape) == 3:
        found += OF_IMAGES + (MEANS if is_power_of_two(shape[1] * shape[2]) else [])
    return choices.pick(found), []


MAKERS: list[Maker] = [_conv, _activation, _batch_norm, _conv, _pool, _two, _linear, _function, _function, _conv_transpose]
"""How steps are made; what is listed twice is tried twice as often."""
