"""Exact convolutions from float32 ones: ONNX Runtime has no float64 Conv on the CPU.

Where the accumulator does not fit float32, input and weights are cut into limbs, `x = sum of x_i * 2**(i*k)`, such that
the convolution of each pair of limbs is exact in float32; the partial results are added in float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from qfx.errors import ExactnessError
from qfx.exact import LIMITS
from qfx.fixed import FixedType, IntArray
from qfx.ops.onnx_form import Attribute, OnnxForm

_MOST_LIMBS = 5


def conv_form(form: OnnxForm, x: FixedType, weight: IntArray, attributes: Mapping[str, Attribute]) -> str:
    """`Conv(input 0, weight)` on integer codes, without bias; the result is exact in its dtype.

    Args:
        x: format of input 0.
        weight: codes (out, channel / groups, kernel height, kernel width).
        attributes: of ONNX Conv.

    Raises:
        ExactnessError: no split into limbs is exact.
    """
    if largest_sum(weight, x.max_abs) < LIMITS["float32"]:
        narrow = form.cast(form.inputs[0], "float32")
        return form.node("Conv", narrow, form.constant(weight, "float32"), attributes=attributes)
    x_bits, w_bits = limb_widths(x, weight, form.name)
    total = ""
    for (i, x_limb), (j, w_limb) in itertools.product(
        enumerate(_input_limbs(form, x, x_bits)), enumerate(weight_limbs(weight, w_bits))
    ):
        part = form.node("Conv", x_limb, form.constant(w_limb, "float32"), attributes=attributes)
        part = form.scale(form.cast(part, "float64"), i * x_bits + j * w_bits)
        total = form.node("Add", total, part) if total else part
    return total


def pads_of(padding: tuple[int, int], extra: tuple[int, int]) -> tuple[int, int, int, int]:
    """ONNX's order: top, left, bottom, right."""
    return (*padding, padding[0] + extra[0], padding[1] + extra[1])


def largest_sum(weight: IntArray, x_max: int) -> int:
    """Largest partial sum of `|weight| * x_max` over one output channel, and not less than `x_max`."""
    rows = np.abs(weight).reshape(weight.shape[0], -1)
    return max(max(sum(row) for row in rows.tolist()) * x_max, x_max, int(rows.max(initial=0)))


def weight_limbs(weight: IntArray, bits: int) -> list[IntArray]:
    """Limbs of `bits` bits, least significant first; all but the last are unsigned."""
    limbs: list[IntArray] = []
    while weight.min() < -(1 << bits) or weight.max() >= 1 << bits:
        limbs.append(weight & ((1 << bits) - 1))
        weight = weight >> bits
    return [*limbs, weight]


def limb_widths(x: FixedType, weight: IntArray, where: str) -> tuple[int, int]:
    """Bits per limb of input and weight that need the fewest float32 convolutions."""
    w_width = max(int(np.abs(weight).max()).bit_length(), 1)
    plans = sorted(itertools.product(range(1, _MOST_LIMBS + 1), repeat=2), key=lambda plan: plan[0] * plan[1])
    for x_count, w_count in plans:
        x_bits, w_bits = -(-x.width // x_count), -(-w_width // w_count)
        worst = max(largest_sum(limb, 1 << x_bits) for limb in weight_limbs(weight, w_bits))
        if worst < LIMITS["float32"]:
            return x_bits, w_bits
    raise ExactnessError(f"{where}: no split of {x.width}-bit inputs and {w_width}-bit weights makes float32 convolutions exact")


def _input_limbs(form: OnnxForm, x: FixedType, bits: int) -> list[str]:
    """Limbs of input 0 as float32 tensors, least significant first."""
    rest = form.inputs[0]
    limbs: list[str] = []
    for _ in range(-(-x.width // bits) - 1):
        high = form.node("Floor", form.scale(rest, -bits))
        low = form.node("Sub", rest, form.scale(high, bits))
        limbs.append(form.cast(low, "float32"))
        rest = high
    return [*limbs, form.cast(rest, "float32")]
