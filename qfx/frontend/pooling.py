"""Windows of pools and convolutions: torch's arguments, and the ops that they make for an image of some size."""

from __future__ import annotations

from qfx import ops
from qfx.errors import LoweringError, QuantizationError
from qfx.ops.base import Pair
from qfx.ops.windows import ceil_extra


def pair(label: str, value: int | tuple[int, ...]) -> tuple[int, int]:
    """(vertical, horizontal) from a number or a pair, as torch's constructors take them.

    Raises:
        QuantizationError: neither.
    """
    if isinstance(value, int):
        return value, value
    if len(value) == 2:
        return value[0], value[1]
    raise QuantizationError(f"{label}={value} is neither a number nor a pair")


def single(label: str, value: int | tuple[int, ...]) -> int:
    """The number, given as such or as a tuple of one, as torch's one-dimensional layers take them.

    Raises:
        QuantizationError: neither.
    """
    if isinstance(value, int):
        return value
    if len(value) == 1:
        return value[0]
    raise QuantizationError(f"{label}={value} is neither a number nor a tuple of one")


def max_pool_op(image: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> ops.MaxPool2d:
    """The op for an image of this size."""
    extra = ceil_extra(image, kernel, stride, padding, dilation) if ceil_mode else (0, 0)
    return ops.MaxPool2d(kernel, stride, padding, dilation, extra)


def avg_pool_op(image: Pair, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, include_pad: bool) -> ops.AvgPool2d:
    """The op for an image of this size, without a reciprocal."""
    extra = ceil_extra(image, kernel, stride, padding) if ceil_mode else (0, 0)
    return ops.AvgPool2d(kernel, stride, padding, None, extra, include_pad)


def adaptive_avg_pool_op(kernel: Pair) -> ops.AvgPool2d:
    """The op whose windows lie side by side, without a reciprocal."""
    return ops.AvgPool2d(kernel, kernel)


def is_power_of_two(area: int) -> bool:
    """Whether dividing by `area` only moves the binary point."""
    return area & (area - 1) == 0


def divides(op: ops.AvgPool2d) -> bool:
    """Whether the average only moves the binary point."""
    return op.uniform and is_power_of_two(op.area)


def check_exact(op: ops.AvgPool2d, layer: str) -> ops.AvgPool2d:
    """The op, if it only moves the binary point.

    Raises:
        LoweringError: it divides; names the `layer` of qfx.nn that has a format for its result.
    """
    if not op.uniform:
        raise LoweringError(
            f"windows that overlap the padding have other areas than {op.area}, a division that is not exact; use qfx.nn.{layer}"
        )
    if not divides(op):
        raise LoweringError(f"dividing by {op.area} is not exact; use qfx.nn.{layer}")
    return op


def adaptive_kernel(image: Pair, output_size: int | tuple[int | None, ...] | None) -> Pair:
    """Kernel, and stride, of an adaptive pool; None for an axis that stays.

    Raises:
        QuantizationError: a size that does not divide that of the image.
    """
    sizes = output_size if isinstance(output_size, tuple) else (output_size, output_size)
    wanted = tuple(n if size is None else size for n, size in zip(image, sizes, strict=True))
    if any(size < 1 or n % size for n, size in zip(image, wanted, strict=True)):
        raise QuantizationError(f"adaptive pooling of {image} to {wanted} has windows of different sizes; use a size that divides")
    return image[0] // wanted[0], image[1] // wanted[1]
