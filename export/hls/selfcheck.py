"""The self-check of a project: each distinct cast of its layers with a table of golden words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qfx.export.hls.wiring import Wiring
from qfx.fixed import FixedType, IntArray
from qfx.ops import Requantize

GOLDEN_WORDS = 256
"""Codes per cast: all of them where the source has 8 bits or fewer."""


@dataclass(frozen=True)
class Cast:
    """One source, target and pair of modes.

    Attributes:
        layer: C++ name of the first layer that has it.
        title: for people.
        words: (source bits, result bits).
    """

    layer: str
    title: str
    words: list[tuple[int, int]]


def casts_of(wiring: Wiring) -> list[Cast]:
    """Every distinct cast of a network, in the order of its layers."""
    found: dict[tuple[FixedType, Requantize], Cast] = {}
    for node in wiring.graph.nodes:
        if not isinstance(node.op, Requantize):
            continue
        operands = wiring.graph.operands(node)
        source, op = operands[0].type, node.op
        if (source, op) in found:
            continue
        codes = golden_codes(source, op.type)
        results = op.evaluate([codes], operands)
        words = list(zip(_bits(codes, source), _bits(results, op.type), strict=True))
        modes = f"{op.type.ap_name[:-1]}, {op.rounding.value}, {op.overflow.value}>"
        found[source, op] = Cast(wiring.wires[node.name].name, f"{source.ap_name} to {modes}, as in {node.name}", words)
    return list(found.values())


def golden_codes(source: FixedType, target: FixedType) -> IntArray:
    """Codes of `source` that tell the modes of a cast to `target` apart.

    The ends of the range, and the codes next to every change of the result round zero and round the ends of the target, of its
    neighbours on either side and of twice its range; random codes fill up.
    """
    if source.width <= 8:
        return np.arange(source.min_int, source.max_int + 1, dtype=np.int64)
    ends = (source.min_int, source.max_int)
    span = 1 << target.width
    centres = [0, *(base + turn * span for base in (target.min_int, target.max_int + 1) for turn in (0, -1, 1))]
    shift = source.frac - target.frac
    halves = [2 * centre + offset for centre in centres for offset in range(-6, 7)]  # in half steps of the target
    places = [half << (shift - 1) if shift > 0 else half >> (1 - shift) for half in halves]
    near = {place + offset for place in places for offset in (-1, 0, 1)}
    chosen = {*ends, *(code for code in near if ends[0] <= code <= ends[1])}
    generator = np.random.default_rng(1)
    fill = generator.integers(*ends, max(0, GOLDEN_WORDS - len(chosen)), np.int64, endpoint=True)
    return np.array(sorted({*chosen, *fill.tolist()}), np.int64)


def _bits(codes: IntArray, type: FixedType) -> list[int]:
    return [code & ((1 << type.width) - 1) for code in codes.tolist()]
