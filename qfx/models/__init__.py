"""Reference networks."""

from qfx.models.digits import DigitsConfig, DigitsNet

__all__ = ["DigitsConfig", "DigitsNet"]
