"""Resources of a stage: its datapaths, tables, line buffers, counters and the FIFO behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from qfx.export.cost.arithmetic import Add, Clamp, Maximum, Multiply, MultiplyKhot, PReLU, ReLU, Requantize, dsp_blocks
from qfx.export.cost.arrays import MultiplierArray
from qfx.export.cost.memory import buffer, fifo, table
from qfx.export.cost.resources import Resources, total
from qfx.export.cost.shape import Kind, StageShape
from qfx.export.cost.storage import Control, Converter


def cost(shape: StageShape) -> Resources:
    """What the stage takes, by the model."""
    return total(stage_parts(shape).values())


def stage_parts(shape: StageShape) -> dict[str, Resources]:
    """The same in parts: compute, weights, window, control, fifo."""
    return {
        "compute": COMPUTE[shape.kind](shape) * shape.fold.pixels,
        "weights": _weights(shape),
        "window": _window(shape),
        "control": _control(shape),
        "fifo": _fifo(shape),
    }


def _matrix_vector(shape: StageShape) -> Resources:
    fold = shape.fold
    return MultiplierArray(
        outputs=fold.outputs,
        inputs=fold.taps * fold.channels,
        multiplier=shape.multiplier,
        x_width=shape.x_width,
        weight_width=shape.weight_width,
        accumulator_width=shape.accumulator_width,
        x_signed=shape.x_signed,
        digits=shape.digits,
        shift_bits=shape.shift_bits,
        packing=shape.packing,
        accumulates=shape.sum_folds > 1 or shape.bias_width > 0,
    ).resources()


def _product(shape: StageShape, x_width: int) -> Resources:
    """One product of x and a weight, or of two activations."""
    other = shape.weight_width or shape.y_width
    if shape.multiplier == "khot":
        return MultiplyKhot(x_width + (not shape.x_signed), shape.digits, shape.shift_bits).resources()
    if shape.multiplier == "lut":
        return Multiply(x_width, other, shape.x_signed).resources()
    return Resources(dsp=dsp_blocks(x_width + (not shape.x_signed), other))


def _affine(shape: StageShape) -> Resources:
    product = _product(shape, shape.x_width)
    offset = Add(shape.x_width + shape.weight_width, shape.bias_width, shape.shift).resources() if shape.bias_width else Resources()
    return (product + offset) * shape.fold.outputs


def _multiply(shape: StageShape) -> Resources:
    return _product(shape, shape.x_width) * shape.fold.outputs


def _prelu(shape: StageShape) -> Resources:
    if shape.multiplier == "lut":
        return PReLU(shape.x_width, shape.weight_width, shape.shift).resources() * shape.fold.outputs
    chosen = Resources(lut=shape.result_width, ff=shape.x_width + shape.result_width)  # a multiplexer of two
    return (_product(shape, shape.x_width) + chosen) * shape.fold.outputs


def _add(shape: StageShape) -> Resources:
    return Add(shape.x_width, shape.y_width, shape.shift).resources() * shape.fold.outputs


def _requantize(shape: StageShape) -> Resources:
    source = shape.x_width + (not shape.x_signed)
    cast = Requantize(source, shape.dropped, shape.result_width, shape.rounding.value, shape.overflow.value, shape.target_signed)
    return cast.resources() * shape.fold.outputs


def _relu(shape: StageShape) -> Resources:
    return ReLU(shape.x_width).resources() * shape.fold.outputs


def _clamp(shape: StageShape) -> Resources:
    return Clamp(shape.x_width, *shape.bounds).resources() * shape.fold.outputs


def _max_pool(shape: StageShape) -> Resources:
    return Maximum(shape.x_width).resources() * (shape.fold.outputs * shape.fold.taps)


def _avg_pool(shape: StageShape) -> Resources:
    sums = MultiplierArray(1, shape.fold.taps, "dsp", shape.x_width, 0, shape.accumulator_width, accumulates=shape.sum_folds > 1)
    adders = total(part.resources() * count for count, part in sums.parts())
    scaled = _product(shape, shape.accumulator_width) if shape.weight_width else Resources()
    return (adders + scaled) * shape.fold.outputs


def _lookup(shape: StageShape) -> Resources:
    return table(shape.result_width, 1 << shape.x_width, shape.storage) * shape.fold.outputs


def _convert(shape: StageShape) -> Resources:
    narrow, wide = sorted((shape.word_lanes, shape.fold.outputs))
    if narrow == wide:
        return Resources()
    through = math.gcd(narrow, wide)  # widths of which none divides the other meet at their common divisor
    steps = (
        [(shape.word_lanes, through), (through, shape.fold.outputs)]
        if through != narrow
        else [(shape.word_lanes, shape.fold.outputs)]
    )
    return total(Converter(shape.x_width * a, shape.x_width * b).resources() for a, b in steps)


def _copy(shape: StageShape) -> Resources:
    return Resources()


COMPUTE: Mapping[Kind, Callable[[StageShape], Resources]] = {
    "conv2d": _matrix_vector,
    "linear": _matrix_vector,
    "affine": _affine,
    "multiply": _multiply,
    "add": _add,
    "requantize": _requantize,
    "relu": _relu,
    "clamp": _clamp,
    "prelu": _prelu,
    "lookup": _lookup,
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "convert": _convert,
    "copy": _copy,
}


def _weights(shape: StageShape) -> Resources:
    """Tables of weights and biases. An average's reciprocal is one constant."""
    fold = shape.fold
    if shape.kind == "avg_pool2d" or not shape.weight_width + shape.bias_width:
        return Resources()
    per_sum = fold.taps * fold.channels if shape.kind in ("conv2d", "linear") else 1
    weights = table(per_sum * _stored_bits(shape), shape.sum_folds * shape.output_folds, shape.storage)
    return weights + table(fold.outputs * shape.bias_width, shape.output_folds, shape.storage)


def _stored_bits(shape: StageShape) -> int:
    """Bits of the weights of all outputs of a cycle for one input."""
    if shape.multiplier == "khot":
        return shape.fold.outputs * shape.digits * (2 + shape.shift_bits)
    if shape.multiplier == "dsp" and shape.packing is not None:
        return math.ceil(shape.fold.outputs / shape.packing.lanes) * shape.packing.stored_width
    return shape.fold.outputs * shape.weight_width


def _window(shape: StageShape) -> Resources:
    """Lines of the image, the choice among them or the registers of the taps, and the words kept for further outputs."""
    fold = shape.fold
    word = shape.word_lanes * shape.x_width
    lines = Resources()
    if shape.taps > 1:
        count = shape.rows_kept
        if count is None:  # rows of a window, and those that come meanwhile
            count = shape.kernel[0] + shape.stride[0] - 1 if shape.kernel[0] > 1 else 1
        one = Resources(lut=word * math.ceil((count - 1) / 3))  # of the lines, under a kernel row
        choice = Resources(ff=shape.window_codes * shape.x_width) if fold.taps == shape.taps else one * fold.taps
        lines = buffer(word, shape.row_words, shape.lines) * count + choice
    again = shape.output_folds > shape.groups and shape.kind in ("conv2d", "linear")
    kept = buffer(fold.taps * fold.channels * shape.x_width * fold.pixels, shape.sum_folds, shape.lines) if again else Resources()
    return lines + kept


def _control(shape: StageShape) -> Resources:
    """Counters of the computing loops, and of the reading ones where a window is kept."""
    loops = (*shape.out_size, shape.output_folds, shape.taps // shape.fold.taps, shape.group_channels // shape.fold.channels)
    counters = [loops, (shape.in_size[0], shape.row_words)] if shape.taps > 1 else [loops]
    nests = [tuple(bound for bound in nest if bound > 1) for nest in counters]
    return total(Control(nest).resources() for nest in nests if nest)


def _fifo(shape: StageShape) -> Resources:
    """The FIFO behind the stage, and the one between a window and what reads it."""
    if not shape.fifo_depth:
        return Resources()
    behind = fifo(shape.fold.outputs * shape.fold.pixels * shape.result_width, shape.fifo_depth)
    if shape.taps == 1:
        return behind
    return behind + fifo(shape.window_codes * shape.x_width, shape.fifo_depth)
