"""Quantizers with a learnable binary point, K-hot projection, and their straight-through gradients."""

from qfx.quant.cast import FixedPointCast
from qfx.quant.khot import project_k_hot
from qfx.quant.quantizer import Quantizer, quantizers, set_enabled
from qfx.quant.search import best_frac
from qfx.quant.spec import QuantSpec
from qfx.quant.stated import Stated

__all__ = ["FixedPointCast", "QuantSpec", "Quantizer", "Stated", "best_frac", "project_k_hot", "quantizers", "set_enabled"]
