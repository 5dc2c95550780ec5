"""The engines side by side: torch, simulator, ONNX Runtime and compiled C++, compared at every value, exactly."""

from qfx.engines.protocol import Engine
from qfx.engines.report import Difference, LayerReport, Report

__all__ = ["Difference", "Engine", "LayerReport", "Report"]
