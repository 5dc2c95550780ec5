"""The engines side by side: torch, simulator, ONNX Runtime and compiled C++, compared at every value, exactly."""

from qfx.verify.engine import Engine
from qfx.verify.report import Difference, LayerReport, Report
from qfx.verify.run import ENGINES, verify

__all__ = ["ENGINES", "Difference", "Engine", "LayerReport", "Report", "verify"]
