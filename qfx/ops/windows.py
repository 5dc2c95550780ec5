"""Sliding windows over (batch, channel, height, width) arrays."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from qfx.errors import GraphError

Pair = tuple[int, int]
T = TypeVar("T", bound=np.generic)


def output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1), extra: Pair = (0, 0)) -> Pair:
    """Height and width of the result: `floor((size + 2*padding + extra - dilation*(kernel - 1) - 1) / stride) + 1`.

    Raises:
        GraphError: an attribute below its least value, or a window larger than the padded image.
    """
    attributes = {
        "kernel": (kernel, 1),
        "stride": (stride, 1),
        "padding": (padding, 0),
        "dilation": (dilation, 1),
        "extra": (extra, 0),
    }
    for label, (pair, least) in attributes.items():
        if min(pair) < least:
            raise GraphError(f"{label} {pair} is below {least}")
    height, width = (
        (n + 2 * p + e - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d, e in zip(size, kernel, stride, padding, dilation, extra, strict=True)
    )
    if height < 1 or width < 1:
        raise GraphError(f"a window of {kernel} with dilation {dilation} is larger than the image {size} padded by {padding}")
    return height, width


def ceil_extra(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)) -> Pair:
    """Rows and columns of padding that torch's ceil_mode adds below and to the right.

    The last window is taken if it begins inside the image or the padding before it: `(out - 1) * stride < size + padding`.
    """
    vertical, horizontal = (
        _ceil_extra(n, d * (k - 1) + 1, s, p) for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return vertical, horizontal


def _ceil_extra(size: int, span: int, stride: int, padding: int) -> int:
    last = -(-(size + 2 * padding - span) // stride)  # index of the last window
    if last * stride >= size + padding:
        last -= 1
    return max(0, last * stride + span - size - 2 * padding)


def windows(
    x: npt.NDArray[T], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1), extra: Pair = (0, 0), fill: int = 0
) -> npt.NDArray[T]:
    """A view (batch, channel, out height, out width, kernel height, kernel width) of the padded `x`."""
    (ph, pw), (dh, dw), (kh, kw) = padding, dilation, kernel
    if ph or pw or max(extra):
        border = ((0, 0), (0, 0), (ph, ph + extra[0]), (pw, pw + extra[1]))
        x = np.pad(x, border, constant_values=fill)
    span = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
    view = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))
    return view[:, :, :: stride[0], :: stride[1], ::dh, ::dw]
