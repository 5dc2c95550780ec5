"""The constants of the stages that pick the words under each window of a convolution or a pool."""

from __future__ import annotations

from qfx.export.hls.geometry import Window, plan_ring, plan_span, plan_turn, window_kernel
from qfx.export.hls.layers import Code, Layer


def describe_window(layer: Layer, window: Window | None, apart: int) -> None:
    """Choose the stage before the kernel and add its constants to the layer.

    Args:
        apart: groups of channels of which the kernel takes one after the other, each with all taps.
    """
    assert window is not None, layer.comment
    taps, pixels = layer.fold.taps, layer.pixels
    layer.window = window_kernel(window, taps, pixels)
    if pixels > 1:
        _describe_span(layer, window)
        return
    layer.codes.append(Code("window", False, layer.x.word_width * taps))
    layer.window_words = layer.out.pixels * (window.taps // taps) * layer.x.groups
    if layer.window == "pick_pixels":
        layer.constant(columns=layer.x.width, stride_rows=window.stride[0], stride_columns=window.stride[1])
    elif layer.window:
        _describe_ring(layer, window)
        if layer.window == "sliding_window_taps":
            _describe_columns(layer, window)
        else:
            _describe_counters(layer, window, apart)


def _describe_ring(layer: Layer, window: Window) -> None:
    groups, out_rows = layer.x.groups, layer.out.height
    row_words = layer.x.row_words
    ring = plan_ring(window, layer.x.height, row_words, out_rows)
    turn = plan_turn(window, ring, groups, layer.out.width, layer.fold.taps, layer.pixels)
    frame_words = layer.x.height * row_words
    layer.constant(
        kernel_height=window.kernel[0],
        kernel_width=window.kernel[1],
        lines=ring.lines,
        row_words=row_words,
        ahead=ring.ahead,
        frame_words=frame_words,
        own_words=frame_words - ring.ahead,
        reads=ring.reads,
        read_every=turn.read_every,
        scan=turn.scan,
        scan_every=turn.scan_every,
        beats=turn.beats,
        first_row=-window.padding[0],
        first_line=-window.padding[0] % ring.lines,
        first_word=-window.padding[1] * groups,
        stride_rows=window.stride[0],
        dilation_rows=window.dilation[0],
        line_step=window.dilation[0] % ring.lines,
        top_step=window.stride[0] % ring.lines,
        frame_step=(layer.x.height - (out_rows - 1) * window.stride[0]) % ring.lines,
        tap_step=window.dilation[1] * groups,
    )


def _describe_span(layer: Layer, window: Window) -> None:
    """Windows of several pixels in a word: [kernel row][column][channel], each of the columns once."""
    span, pixel = plan_span(window, layer.pixels), layer.x.channels * layer.x.type.width
    row_bits = span.columns * pixel
    layer.codes.append(Code("window", False, window.kernel[0] * row_bits))
    layer.window_words = layer.out.words
    if layer.window:
        _describe_ring(layer, window)
        layer.codes += [Code("held_row", False, span.words * layer.x.word_width), Code("window_row", False, row_bits)]
        newest = (span.words - 1) * layer.x.word_width
        layer.constant(fill_words=span.fill, newest_low=newest, skip_bits=span.skip * pixel)
    else:
        layer.constant(kernel_height=window.kernel[0], kernel_width=window.kernel[1])
    layer.constant(run=span.pixels, row_bits=row_bits, pixel_bits=window.stride[1] * pixel, column_bits=window.dilation[1] * pixel)


def _describe_counters(layer: Layer, window: Window, outside: int) -> None:
    inside = layer.x.groups // outside
    layer.constant(inside=inside, outside=outside, pixel_step=window.stride[1] * layer.x.groups - (outside - 1) * inside)
    if layer.window == "sliding_window_columns":
        layer.constant(tap_width=layer.x.word_width)


def _describe_columns(layer: Layer, window: Window) -> None:
    layer.constant(
        tap_width=layer.x.word_width,
        delay=max(1, window.reach[1] * layer.x.groups),
        fill_columns=window.reach[1],
        stride_columns=window.stride[1],
    )
