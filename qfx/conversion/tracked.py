"""What the conversion knows of a tensor: how far it has grown since its last cast, its sign, its shape."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from torch import fx

Shape = tuple[int, ...]


class Kind(enum.IntEnum):
    """How wide a value is; what is exact grows with each step."""

    CAST = 0
    """Behind a cast, or an input: a few bits on one grid. Weights multiply only these."""
    SUM = 1
    """A sum or concatenation of such values: a few bits more, on the finest of their grids."""
    PRODUCT = 2
    """The accumulator of a convolution or linear layer, or a product of two tensors."""
    AFFINE = 3
    """A product times a scale: what batch normalisation makes of an accumulator."""


@dataclass(frozen=True)
class Tracked:
    """A tensor of the converted network.

    Attributes:
        node: in the new graph.
        old: in the trace of the float model, whose value it is.
        kind: how wide it is.
        signed: whether it may be negative.
        shape: with the batch axis.
    """

    node: fx.Node
    old: fx.Node
    kind: Kind
    signed: bool
    shape: Shape
