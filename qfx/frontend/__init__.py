"""The front end: a torch model is traced, and each of its calls becomes ops of a typed graph. It knows no layer of qfx.nn."""

from qfx.frontend.lowering import Lowered, Shape, Shapes, lower, lower_traced

__all__ = ["Lowered", "Shape", "Shapes", "lower", "lower_traced"]
