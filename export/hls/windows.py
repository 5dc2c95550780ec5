"""The constants of the sliding window."""

from __future__ import annotations

from qfx.export.hls.layers import Layer
from qfx.ops.base import Pair


def describe_window(layer: Layer, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, per_channel: bool) -> None:
    """Add the counters' bounds and steps of units/sliding_window to the layer.

    Args:
        kernel, stride, padding, dilation: (vertical, horizontal).
        per_channel: whether the next stage takes all taps of a channel group before the next group.
    """
    groups = layer.x.groups
    taps = kernel[0] * kernel[1]
    lines = (kernel[0] - 1) * dilation[0] + 1
    outside = groups if per_channel else 1
    layer.windowed = True
    layer.headers.append("sliding_window")
    layer.constant(
        kernel_height=kernel[0],
        kernel_width=kernel[1],
        taps=taps,
        lines=lines,
        row_words=layer.x.width * groups,
        row_beats=layer.out.width * taps * groups,
        inside=groups // outside,
        outside=outside,
        first_row=-padding[0],
        first_line=-padding[0] % lines,
        first_word=-padding[1] * groups,
        stride_rows=stride[0],
        dilation_rows=dilation[0],
        line_step=dilation[0] % lines,
        top_step=stride[0] % lines,
        tap_step=dilation[1] * groups,
        pixel_step=stride[1] * groups - (outside - 1),
    )
