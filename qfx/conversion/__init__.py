"""From a float model to qfx.nn layers in one call, and binary points from data."""

from qfx.conversion.calibration import Method, calibrate
from qfx.conversion.config import ConvertConfig, Formats, InputFormat
from qfx.conversion.converted import Converted, convert

__all__ = ["ConvertConfig", "Converted", "Formats", "InputFormat", "Method", "calibrate", "convert"]
