"""Passes over a graph: each gives a new one, verified, that computes the same codes."""

from qfx.export.passes.khot import multiplier_free, with_khot

__all__ = ["multiplier_free", "with_khot"]
